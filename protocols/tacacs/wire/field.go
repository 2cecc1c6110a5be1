package wire

import "strconv"

// MaxPrivLvl is the highest privilege level, RFC 8907 section 9.
const MaxPrivLvl = 15

// Action is what a START asks for, RFC 8907 section 5.1.
type Action uint8

// The actions. SENDPASS, which was 3, is none any more.
const (
	Login          Action = 1
	ChangePassword Action = 2
	SendAuth       Action = 4
)

func (a Action) known() bool { return a == Login || a == ChangePassword || a == SendAuth }

// String returns the action's name, or action-N.
func (a Action) String() string {
	switch a {
	case Login:
		return "login"
	case ChangePassword:
		return "chpass"
	case SendAuth:
		return "sendauth"
	}
	return "action-" + strconv.Itoa(int(a))
}

// AuthenType is how somebody authenticates, RFC 8907 section 5.1.
type AuthenType uint8

// The types of authentication. TypeNotSet stands in authorization and
// accounting only (section 6.1), or in an enable, which has no use for a type.
const (
	TypeNotSet   AuthenType = 0
	TypeASCII    AuthenType = 1
	TypePAP      AuthenType = 2
	TypeCHAP     AuthenType = 3
	TypeMSCHAP   AuthenType = 5
	TypeMSCHAPv2 AuthenType = 6
)

func (t AuthenType) known() bool { return t <= TypeMSCHAPv2 && t != 4 }

// String returns the type's name, or type-N.
func (t AuthenType) String() string {
	switch t {
	case TypeNotSet:
		return "not-set"
	case TypeASCII:
		return "ascii"
	case TypePAP:
		return "pap"
	case TypeCHAP:
		return "chap"
	case TypeMSCHAP:
		return "mschap"
	case TypeMSCHAPv2:
		return "mschapv2"
	}
	return "type-" + strconv.Itoa(int(t))
}

// Service is what somebody authenticates for, RFC 8907 section 5.1.
type Service uint8

// The services.
const (
	ServiceNone    Service = 0
	ServiceLogin   Service = 1
	ServiceEnable  Service = 2
	ServicePPP     Service = 3
	ServicePT      Service = 5
	ServiceRCMD    Service = 6
	ServiceX25     Service = 7
	ServiceNASI    Service = 8
	ServiceFWProxy Service = 9
)

func (s Service) known() bool { return s <= ServiceFWProxy && s != 4 }

// String returns the service's name, or service-N.
func (s Service) String() string {
	switch s {
	case ServiceNone:
		return "none"
	case ServiceLogin:
		return "login"
	case ServiceEnable:
		return "enable"
	case ServicePPP:
		return "ppp"
	case ServicePT:
		return "pt"
	case ServiceRCMD:
		return "rcmd"
	case ServiceX25:
		return "x25"
	case ServiceNASI:
		return "nasi"
	case ServiceFWProxy:
		return "fwproxy"
	}
	return "service-" + strconv.Itoa(int(s))
}

// Method is how a device says that it authenticated somebody, RFC 8907 section
// 6.1. Nothing proves it, so that no policy may rely on it.
type Method uint8

// The methods.
const (
	MethodNotSet     Method = 0x00
	MethodNone       Method = 0x01
	MethodKRB5       Method = 0x02
	MethodLine       Method = 0x03
	MethodEnable     Method = 0x04
	MethodLocal      Method = 0x05
	MethodTACACSPlus Method = 0x06
	MethodGuest      Method = 0x08
	MethodRADIUS     Method = 0x10
	MethodKRB4       Method = 0x11
	MethodRCMD       Method = 0x20
)

func (m Method) known() bool {
	return m <= MethodGuest && m != 7 || m == MethodRADIUS || m == MethodKRB4 || m == MethodRCMD
}

// String returns the method's name, or method-N.
func (m Method) String() string {
	switch m {
	case MethodNotSet:
		return "not-set"
	case MethodNone:
		return "none"
	case MethodKRB5:
		return "krb5"
	case MethodLine:
		return "line"
	case MethodEnable:
		return "enable"
	case MethodLocal:
		return "local"
	case MethodTACACSPlus:
		return "tacacs+"
	case MethodGuest:
		return "guest"
	case MethodRADIUS:
		return "radius"
	case MethodKRB4:
		return "krb4"
	case MethodRCMD:
		return "rcmd"
	}
	return "method-" + strconv.Itoa(int(m))
}

// follow sends a client to another server. It is deprecated in all three
// protocols: clients take it for a failure, and nothing here sends it.
const follow = 0x21

// AuthenStatus is the status of an authentication REPLY, RFC 8907 section 5.2.
type AuthenStatus uint8

// The statuses.
const (
	AuthenPass    AuthenStatus = 0x01
	AuthenFail    AuthenStatus = 0x02
	AuthenGetData AuthenStatus = 0x03
	AuthenGetUser AuthenStatus = 0x04
	AuthenGetPass AuthenStatus = 0x05
	AuthenRestart AuthenStatus = 0x06
	AuthenError   AuthenStatus = 0x07
	AuthenFollow  AuthenStatus = follow
)

func (s AuthenStatus) known() bool { return s >= AuthenPass && s <= AuthenError || s == AuthenFollow }

// Asks reports whether the session goes on with a CONTINUE of the client.
func (s AuthenStatus) Asks() bool { return s >= AuthenGetData && s <= AuthenGetPass }

// String returns the status's name, or status-N.
func (s AuthenStatus) String() string {
	switch s {
	case AuthenPass:
		return "PASS"
	case AuthenFail:
		return "FAIL"
	case AuthenGetData:
		return "GETDATA"
	case AuthenGetUser:
		return "GETUSER"
	case AuthenGetPass:
		return "GETPASS"
	case AuthenRestart:
		return "RESTART"
	case AuthenError:
		return "ERROR"
	case AuthenFollow:
		return "FOLLOW"
	}
	return "status-" + strconv.Itoa(int(s))
}

// AuthorStatus is the status of an authorization RESPONSE, RFC 8907 section
// 6.2.
type AuthorStatus uint8

// The statuses. AuthorPassAdd adds the response's arguments to the request's;
// with AuthorPassRepl they replace them.
const (
	AuthorPassAdd  AuthorStatus = 0x01
	AuthorPassRepl AuthorStatus = 0x02
	AuthorFail     AuthorStatus = 0x10
	AuthorError    AuthorStatus = 0x11
	AuthorFollow   AuthorStatus = follow
)

func (s AuthorStatus) known() bool {
	return s == AuthorPassAdd || s == AuthorPassRepl || s == AuthorFail || s == AuthorError || s == AuthorFollow
}

// String returns the status's name, or status-N.
func (s AuthorStatus) String() string {
	switch s {
	case AuthorPassAdd:
		return "PASS_ADD"
	case AuthorPassRepl:
		return "PASS_REPL"
	case AuthorFail:
		return "FAIL"
	case AuthorError:
		return "ERROR"
	case AuthorFollow:
		return "FOLLOW"
	}
	return "status-" + strconv.Itoa(int(s))
}

// AcctStatus is the status of an accounting REPLY, RFC 8907 section 7.2.
type AcctStatus uint8

// The statuses.
const (
	AcctSuccess AcctStatus = 0x01
	AcctError   AcctStatus = 0x02
	AcctFollow  AcctStatus = follow
)

func (s AcctStatus) known() bool { return s == AcctSuccess || s == AcctError || s == AcctFollow }

// String returns the status's name, or status-N.
func (s AcctStatus) String() string {
	switch s {
	case AcctSuccess:
		return "SUCCESS"
	case AcctError:
		return "ERROR"
	case AcctFollow:
		return "FOLLOW"
	}
	return "status-" + strconv.Itoa(int(s))
}

// AcctFlags say what an accounting REQUEST records: one of the four
// combinations that table 2 of RFC 8907 section 7.2 allows. Bits beyond them are
// ignored.
type AcctFlags uint8

// The combinations.
const (
	AcctStart          AcctFlags = 0x02
	AcctStop           AcctFlags = 0x04
	AcctWatchdog       AcctFlags = 0x08
	AcctWatchdogUpdate AcctFlags = AcctWatchdog | AcctStart

	knownAcctFlags = AcctStart | AcctStop | AcctWatchdog
)

func (f AcctFlags) known() bool {
	return f == AcctStart || f == AcctStop || f == AcctWatchdog || f == AcctWatchdogUpdate
}

// String returns the name of what is recorded, or flags-N.
func (f AcctFlags) String() string {
	switch f {
	case AcctStart:
		return "start"
	case AcctStop:
		return "stop"
	case AcctWatchdog:
		return "watchdog"
	case AcctWatchdogUpdate:
		return "watchdog-update"
	}
	return "flags-" + strconv.Itoa(int(f))
}
