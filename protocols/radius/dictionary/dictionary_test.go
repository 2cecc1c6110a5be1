package dictionary

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	layeh "layeh.com/radius/dictionary"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/rfc3576"
	"layeh.com/radius/rfc4372"
	"layeh.com/radius/rfc4675"
	"layeh.com/radius/rfc4818"
	"layeh.com/radius/rfc4849"
	"layeh.com/radius/rfc5090"
	"layeh.com/radius/rfc5580"
	"layeh.com/radius/rfc5607"
	"layeh.com/radius/rfc6911"
	"layeh.com/radius/rfc7268"

	"layeh.com/radius"

	"trine/protocols/radius/wire"
)

func standardOf(t testing.TB) *Dictionary {
	t.Helper()
	d, err := Standard()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestStandardDictionaryReadsWithoutWarnings(t *testing.T) {
	d := standardOf(t)
	if w := d.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
	for name, want := range map[string]struct {
		vendor, number uint32
		kind           DataType
	}{
		"User-Name":                {0, 1, String},
		"user-password":            {0, 2, String},
		"Tunnel-Private-Group-Id":  {0, 81, String},
		"Framed-IPv6-Prefix":       {0, 97, IPv6Prefix},
		"Framed-Interface-Id":      {0, 96, InterfaceID},
		"Delegated-IPv6-Prefix":    {0, 123, IPv6Prefix},
		"Chargeable-User-Identity": {0, 89, Octets},
		"Digest-Response":          {0, 103, String},
		"Error-Cause":              {0, 101, Integer},
		"Cisco-AVPair":             {9, 1, String},
		"CVPN3000-Access-Hours":    {3076, 1, String},
		"ASA-VLAN":                 {3076, 140, Integer},
		"Juniper-Local-User-Name":  {2636, 1, String},
		"Aruba-User-Role":          {14823, 1, String},
		"HP-Privilege-Level":       {11, 1, Integer},
		"MS-MPPE-Send-Key":         {311, 16, Octets},
		"Mikrotik-Rate-Limit":      {14988, 8, String},
		"Huawei-Exec-Privilege":    {2011, 29, Integer},
		"Fortinet-Group-Name":      {12356, 1, String},
		"PaloAlto-Admin-Role":      {25461, 1, String},
		"WISPr-Bandwidth-Max-Down": {14122, 8, Integer},
		"3GPP-IMSI":                {10415, 1, String},
		"Ruckus-User-Groups":       {25053, 1, String},
		"Alc-Subsc-ID-Str":         {6527, 11, String},
		"Extreme-Security-Profile": {1916, 212, String},
		"Foundry-Privilege-Level":  {1991, 1, Integer},
		"Brocade-Auth-Role":        {1588, 1, String},
		"F5-LTM-User-Role":         {3375, 1, Integer},
		"Arista-AVPair":            {30065, 1, String},
		"WiMAX-MSK":                {24757, 5, Octets},
		"H3C-Exec-Privilege":       {25506, 29, Integer},
		"ERX-Virtual-Router-Name":  {4874, 1, String},
		"Zyxel-Privilege-AVPair":   {890, 3, String},
		"Citrix-User-Groups":       {66, 16, String},
		"Meraki-Device-Name":       {29671, 1, String},
		"Cambium-ePMP-UserLevel":   {17713, 50, Integer},
	} {
		a := d.Attribute(name)
		if a == nil {
			t.Errorf("no %s (did you mean %s?)", name, d.Suggest(name))
			continue
		}
		var vendor uint32
		if a.Vendor != nil {
			vendor = a.Vendor.Number
		}
		if vendor != want.vendor || a.Number != want.number || a.Type != want.kind {
			t.Errorf("%s is %d.%d %s", name, vendor, a.Number, a.Type)
		}
		if again := d.byNumber[a.key()]; again == nil || again.Number != a.Number {
			t.Errorf("%s is not found by number", name)
		}
	}
	if len(d.Attributes()) != len(d.byName) {
		t.Error("Attributes does not return all")
	}
}

// Where layeh.com/radius's own dictionary files know a name, number, type,
// encryption and tags agree with ours.
func TestStandardAgreesWithLayehsDictionaries(t *testing.T) {
	d := standardOf(t)
	folder := moduleFolder(t)
	files, err := filepath.Glob(filepath.Join(folder, "rfc*", "dictionary.*"))
	if err != nil {
		t.Fatal(err)
	}
	vendors, err := filepath.Glob(filepath.Join(folder, "vendors", "*", "dictionary.*"))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, name := range append(files, vendors...) {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		parser := layeh.Parser{Opener: &layeh.FileSystemOpener{Root: filepath.Dir(name)}, IgnoreIdenticalAttributes: true}
		theirs, err := parser.Parse(f)
		f.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		compared += compareAll(t, d, 0, theirs.Attributes, theirs.Values)
		for _, v := range theirs.Vendors {
			compared += compareAll(t, d, uint32(v.Number), v.Attributes, v.Values)
		}
	}
	if compared < 300 {
		t.Errorf("compared only %d attributes", compared)
	}
}

func compareAll(t *testing.T, d *Dictionary, vendor uint32, attributes []*layeh.Attribute, values []*layeh.Value) int {
	n := 0
	for _, theirs := range attributes {
		ours := d.Attribute(theirs.Name)
		if ours == nil {
			continue
		}
		n++
		var ourVendor uint32
		if ours.Vendor != nil {
			ourVendor = ours.Vendor.Number
		}
		if ourVendor != vendor || len(theirs.OID) == 1 && ours.Number != uint32(theirs.OID[0]) {
			t.Errorf("%s: ours %d.%d, theirs %d.%v", theirs.Name, ourVendor, ours.Number, vendor, theirs.OID)
		}
		kind, ok := dataTypeOf(theirs.Type.String())
		if !ok || kind != ours.Type {
			t.Errorf("%s: ours %s, theirs %s", theirs.Name, ours.Type, theirs.Type)
		}
		if theirs.FlagEncrypt.Valid && int(ours.Hiding) != theirs.FlagEncrypt.Int || theirs.HasTag() != ours.Tagged {
			t.Errorf("%s: flags differ", theirs.Name)
		}
	}
	for _, v := range values {
		a := d.Attribute(v.Attribute)
		if a == nil {
			continue
		}
		if number, ok := a.Value(v.Name); ok && number != uint64(v.Number) {
			t.Errorf("%s %s: ours %d, theirs %d", v.Attribute, v.Name, number, v.Number)
		}
	}
	return n
}

// moduleFolder finds the source of layeh.com/radius in the module cache.
func moduleFolder(t *testing.T) string {
	t.Helper()
	cache := os.Getenv("GOMODCACHE")
	if cache == "" {
		if p := os.Getenv("GOPATH"); p != "" {
			cache = filepath.Join(filepath.SplitList(p)[0], "pkg", "mod")
		} else {
			home, err := os.UserHomeDir()
			if err != nil {
				t.Skip("no home directory, so no module cache to compare with: ", err)
			}
			cache = filepath.Join(home, "go", "pkg", "mod")
		}
	}
	found, err := filepath.Glob(filepath.Join(cache, "layeh.com", "radius@*"))
	if err != nil || len(found) == 0 {
		t.Skip("layeh.com/radius's dictionary files are not in the module cache")
	}
	return found[len(found)-1]
}

// The numbers compiled into layeh.com/radius need no file to compare with.
func TestStandardAgreesWithLayehsConstants(t *testing.T) {
	d := standardOf(t)
	for name, number := range map[string]radius.Type{
		"User-Name":                rfc2865.UserName_Type,
		"Filter-Id":                rfc2865.FilterID_Type,
		"Session-Timeout":          rfc2865.SessionTimeout_Type,
		"Login-LAT-Port":           rfc2865.LoginLATPort_Type,
		"Acct-Status-Type":         rfc2866.AcctStatusType_Type,
		"Acct-Link-Count":          rfc2866.AcctLinkCount_Type,
		"Tunnel-Type":              rfc2868.TunnelType_Type,
		"Tunnel-Password":          rfc2868.TunnelPassword_Type,
		"EAP-Message":              rfc2869.EAPMessage_Type,
		"Acct-Interim-Interval":    rfc2869.AcctInterimInterval_Type,
		"Framed-IPv6-Pool":         rfc3162.FramedIPv6Pool_Type,
		"Chargeable-User-Identity": rfc4372.ChargeableUserIdentity_Type,
		"Egress-VLANID":            rfc4675.EgressVLANID_Type,
		"Delegated-IPv6-Prefix":    rfc4818.DelegatedIPv6Prefix_Type,
		"NAS-Filter-Rule":          rfc4849.NASFilterRule_Type,
		"Digest-Nonce":             rfc5090.DigestNonce_Type,
		"Error-Cause":              rfc3576.ErrorCause_Type,
		"Operator-Name":            rfc5580.OperatorName_Type,
		"Management-Policy-Id":     rfc5607.ManagementPolicyID_Type,
		"Framed-IPv6-Address":      rfc6911.FramedIPv6Address_Type,
		"WLAN-Group-Mgmt-Cipher":   rfc7268.WLANGroupMgmtCipher_Type,
	} {
		a := d.Attribute(name)
		if a == nil || a.Number != uint32(number) || a.Vendor != nil || d.Standard(wire.Type(number)) != a {
			t.Errorf("%s: %+v, want %d", name, a, number)
		}
	}
}

const example = `
VENDOR	Example	9999
VENDOR	Wide	9998	format=2,2
VENDOR	Wimaxy	9997	format=1,1,c
BEGIN-VENDOR Example
ATTRIBUTE	Example-Text	1	string
ATTRIBUTE	Example-Mode	2	integer
VALUE	Example-Mode	Fast	1
VALUE	Example-Mode	Slow	0x02
ATTRIBUTE	Example-Key	3	string	encrypt=2
ATTRIBUTE	Example-Box	4	tlv
BEGIN-TLV	Example-Box
ATTRIBUTE	Example-Box-Name	1	string
ATTRIBUTE	Example-Box-Inner	2	tlv
ATTRIBUTE	Example-Box-Size	2.7	short	# in a TLV in a TLV
END-TLV	Example-Box
ATTRIBUTE	Example-Token	5	octets[4]
ATTRIBUTE	Example-Ports	6	short	array
END-VENDOR Example
BEGIN-VENDOR Wide
ATTRIBUTE	Wide-Text	0x100	string
END-VENDOR Wide
BEGIN-VENDOR Wimaxy
ATTRIBUTE	Wimaxy-Long	1	octets
END-VENDOR Wimaxy
ATTRIBUTE	Example-By-Number	26.9999.77	ipaddr
BEGIN-VENDOR Example format=Extended-Vendor-Specific-1
ATTRIBUTE	Example-Extended	1	integer
END-VENDOR Example
BEGIN-VENDOR Example format=Extended-Vendor-Specific-5
ATTRIBUTE	Example-Long	1	octets
END-VENDOR Example
`

func exampleOf(t testing.TB) *Dictionary {
	t.Helper()
	d, err := standardOf(t).With(File{"dictionary.example", example})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOverlayIsANewDictionary(t *testing.T) {
	d, plain := exampleOf(t), standardOf(t)
	if plain.Attribute("Example-Text") != nil || plain.Vendor("Example") != nil {
		t.Fatal("the standard dictionary has changed")
	}
	a := d.Attribute("EXAMPLE-TEXT")
	if a == nil || a != d.VendorAttribute(9999, 1) || d.Vendor("example") == nil || d.VendorNumber(9998).Format.Type != 2 {
		t.Fatal("the overlay is not found")
	}
	if d.Attribute("Example-Box-Size").Parent != d.Attribute("Example-Box-Inner") || d.Attribute("Example-Box-Inner").Child(7) == nil {
		t.Error("a dotted number inside a TLV went elsewhere")
	}
	if d.ExtendedVendorAttribute(241, 9999, 1) != d.Attribute("Example-Extended") {
		t.Error("the extended vendor space is not apart")
	}
	if n, ok := d.Attribute("Example-Mode").Value("slow"); !ok || n != 2 {
		t.Error("named value is missing")
	}

	over, err := d.With(File{"mine", "ATTRIBUTE User-Name 251 octets\nVALUE Service-Type Mine 77\nATTRIBUTE Nothing 300 string\nVALUE Nothing x 1\n"})
	if err != nil {
		t.Fatal(err)
	}
	if a := over.Attribute("User-Name"); a.Number != 251 || over.Standard(1) != nil || d.Standard(1).Name != "User-Name" {
		t.Error("a replaced attribute stays at its number")
	}
	if n, ok := over.Attribute("Service-Type").Value("mine"); !ok || n != 77 {
		t.Error("a value was not added")
	}
	if _, ok := d.Attribute("Service-Type").Value("mine"); ok {
		t.Error("a value leaked into the dictionary below")
	}
	if w := over.Warnings(); len(w) != 1 || !strings.Contains(w[0], "mine:3") {
		t.Errorf("warnings %q", w)
	}
}

func TestDictionaryErrorsNameFileLineAndRemedy(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"keyword", "ATRIBUTE x 1 string", "t:1: unknown keyword \"ATRIBUTE\" (did you mean ATTRIBUTE?)"},
		{"short", "\nATTRIBUTE x 1", "t:2: ATTRIBUTE takes"},
		{"type", "ATTRIBUTE x 250 strng", "did you mean string?"},
		{"flag", "ATTRIBUTE x 250 string has_tags", "did you mean has_tag?"},
		{"number", "ATTRIBUTE x one string", "is not a number"},
		{"size", "ATTRIBUTE x 250 string[4]", "only octets takes a size"},
		{"no parent", "ATTRIBUTE x 250.1 string", "to hold it"},
		{"vendor unknown", "BEGIN-VENDOR Nobody", "write a VENDOR line first"},
		{"vendor number", "VENDOR x 0", "is not a vendor's number"},
		{"format", "VENDOR x 99999 format=3,1", "is not a format"},
		{"unclosed vendor", "VENDOR x 99999\nBEGIN-VENDOR x", "has no END-VENDOR"},
		{"unopened", "END-VENDOR Cisco", "does not match"},
		{"vendor's number too large", "BEGIN-VENDOR Cisco\nATTRIBUTE x 256 string", "is above 255"},
		{"value", "VALUE Servise-Type x 1", "did you mean Service-Type?"},
		{"value number", "VALUE Service-Type x y", "is not a number"},
		{"value range", "VALUE Service-Type x 4294967296", "does not fit"},
		{"twice", "ATTRIBUTE x 250 string\nATTRIBUTE x 251 string", "t:2: attribute x is already defined otherwise at t:1"},
		{"tagged date", "ATTRIBUTE x 250 date has_tag", "has_tag goes with"},
		{"extended elsewhere", "ATTRIBUTE x 250 extended", "241 to 246"},
		{"include missing", "$INCLUDE nothing", "no such file"},
		{"include out", "$INCLUDE ../passwd", "out of the folder"},
		{"include absolute", "$INCLUDE /etc/passwd", "relative"},
		{"tlv", "BEGIN-TLV User-Name", "no attribute of type tlv"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := standardOf(t).With(File{"t", c.text})
			var where *Error
			if !errors.As(err, &where) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v; want %q", err, c.want)
			}
		})
	}
}

func TestReadFileStaysInItsFolder(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("d/main", "$INCLUDE sub/other\n$INCLUDE- absent\nATTRIBUTE One 250 string\n$INCLUDE main\n")
	write("d/sub/other", "ATTRIBUTE Two 251 string\n$INCLUDE ../main\n")
	write("secret", "ATTRIBUTE Secret 252 string\n")
	files, err := ReadFile(filepath.Join(folder, "d", "main"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(files...)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 || d.Attribute("One") == nil || d.Attribute("Two") == nil {
		t.Errorf("%d files", len(files))
	}
	if err := os.Symlink("../secret", filepath.Join(folder, "d", "link")); err != nil {
		t.Fatal(err)
	}
	write("d/main", "$INCLUDE link\n")
	if _, err := ReadFile(filepath.Join(folder, "d", "main")); err == nil {
		t.Error("a symbolic link out of the folder was followed")
	}
	write("d/main", "$INCLUDE ../secret\n")
	files, err = ReadFile(filepath.Join(folder, "d", "main"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if _, err := New(files...); err == nil {
		t.Error("an $INCLUDE out of the folder was taken")
	}
	if _, err := ReadFile(filepath.Join(folder, "none")); err == nil {
		t.Error("a missing file was read")
	}
}

func TestSuggestionsAreNearOrNone(t *testing.T) {
	d := standardOf(t)
	for in, want := range map[string]string{
		"Tunel-Type": "Tunnel-Type", "User-Nmae": "User-Name", "session-timout": "Session-Timeout", "Cisco-AV-Pair": "Cisco-AVPair",
		"completely-different-thing-altogether": "",
	} {
		if got := d.Suggest(in); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzDictionary(f *testing.F) {
	f.Add(example)
	f.Add("$INCLUDE x\nVENDOR a 1 format=4,0\nBEGIN-VENDOR a\nATTRIBUTE b 0xffffffff integer64\nVALUE b c 1\nEND-VENDOR a")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := New(File{"x", text})
		var where *Error
		if err != nil && !errors.As(err, &where) {
			t.Fatalf("error without a place: %v", err)
		}
		if err != nil {
			return
		}
		for _, a := range d.Attributes() {
			if _, err := a.Encode(nil, "1", 0); err != nil && !errors.Is(err, ErrValue) && !errors.Is(err, ErrHidden) && !errors.Is(err, ErrTooLong) {
				t.Fatalf("%s: %v", a.Name, err)
			}
		}
	})
}
