package login

import "testing"

func TestMatrixSaysWhatIsEnoughAndWhatIsMissing(t *testing.T) {
	password, otp, sms, fido := SetOf(Password), SetOf(OTP), SetOf(SMS), SetOf(FIDO)
	for _, c := range []struct {
		name      string
		ways      []Way
		proved    Set
		satisfied bool
		missing   Set
	}{
		{"password alone", []Way{{First: Password}}, password, true, 0},
		{"nothing proved yet", []Way{{First: Password}}, 0, false, 0},
		{"second factor asked for", []Way{{Password, OTP}}, password, false, otp},
		{"choice of second factors", []Way{{Password, OTP}, {Password, SMS}, {FIDO, NoFactor}}, password, false, otp | sms},
		{"both proved", []Way{{Password, OTP}}, password | otp, true, 0},
		{"order does not matter", []Way{{OTP, Password}}, password | otp, true, 0},
		{"more than asked", []Way{{First: Password}}, password | otp, true, 0},
		{"no way from here", []Way{{FIDO, PIN}}, password, false, 0},
		{"one factor suffices where it is a way of its own", []Way{{First: FIDO}, {Password, OTP}}, fido, true, 0},
		{"no ways at all", nil, password, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMatrix(c.ways...)
			if got := m.Satisfied(c.proved); got != c.satisfied {
				t.Errorf("satisfied: found %v", got)
			}
			if got := m.Missing(c.proved); got != c.missing {
				t.Errorf("missing: expected %s, found %s", c.missing, got)
			}
		})
	}
}

func TestMatrixIsOpenWhereAWayIsCarried(t *testing.T) {
	for _, c := range []struct {
		name    string
		ways    []Way
		carried Set
		open    bool
	}{
		{"password alone", []Way{{First: Password}}, SetOf(Password), true},
		{"second factor that is not carried", []Way{{Password, OTP}}, SetOf(Password), false},
		{"second factor that is carried", []Way{{Password, OTP}}, SetOf(Password, OTP), true},
		{"the other way round", []Way{{OTP, Password}}, SetOf(Password, OTP), true},
		{"way that begins with another factor", []Way{{OTP, SMS}, {First: OTP}}, SetOf(Password, OTP, SMS), false},
		{"one of several", []Way{{Certificate, PIN}, {Password, SMS}}, SetOf(Password, SMS), true},
		{"no ways at all", nil, SetOf(Password, OTP), false},
	} {
		if got := NewMatrix(c.ways...).Open(Password, c.carried); got != c.open {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestFactorsAreNamedAsDocumentsNameThem(t *testing.T) {
	for f := Password; f < factors; f++ {
		if got, ok := ParseFactor(f.String()); !ok || got != f {
			t.Errorf("%s is read as %s", f, got)
		}
	}
	if _, ok := ParseFactor("password"); ok {
		t.Error("a name in another case is no factor")
	}
	if got := SetOf(Password, OTP, NoFactor).String(); got != "Password+OTP" {
		t.Errorf("found %s", got)
	}
}
