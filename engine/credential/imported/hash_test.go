package imported

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// password is what all vectors are of.
const password = "wonder länd 1"

// vectors were made by the tools that they are named after, from Debian 12 or, for passlib 1.7.4 and Django 5.2, from their
// authors; where the tool's usual cost is high, at a low one.
var vectors = []struct{ name, text string }{
	{"mkpasswd yescrypt, which hashes twice", "$y$j9T$Y1AnH/NNI.CGeyiYW9BT5/$gRgSrMoeBw6GA8VTiZ3syk8EktDZa419E5DC0b4gBG/"},
	{"mkpasswd yescrypt at the least cost", "$y$j75$rtANhd8fCrqoPgIyqvz0O/$aYXIEBMuyDxIXM1FnQFTNabCSeXgJe6/JrJpj2WA/dB"},
	{"mkpasswd scrypt", "$7$BU..../....9TnmPni/4E9QWjbp0Rs2x.$IApzVYVNhfJeFCZGYXcDvLEYY8je/NhdhvPK43bpV/."},
	{"mkpasswd bcrypt", "$2b$05$bpnpnM9F64n4gR9RlaZmC.FYEz0rLk/fju7lQ07JdV0UXZ3K/OgRi"},
	{"mkpasswd bcrypt-a", "$2a$05$PUjZvFVfr2brw.QWK39VTeqPhXje6yU2Pif.hOTPQCSiJp1oYnp1K"},
	{"mkpasswd sha512crypt", "$6$RAS4gwgKgwNZ59yy$8bqIn6ONsFg6RFpBk2KZ15bQXvohIxEvZPcaWhwZGwNssPaokEoSw16HnM0S1HfKOmm0HkSXF6HpN9R4cyzcz/"},
	{"mkpasswd sha512crypt with rounds", "$6$rounds=1000$aHJzrcWJWCMZz5e9$hZ2BDWC9pv/WIC99L242J6Dur4mKev2Xm5je4JZr2Vya21cDAOHWQ5TwM1nuf7ZVlqc3ekZO3gspOtE5rSBYc."},
	{"mkpasswd sha256crypt", "$5$q9Qn4PUzeKoKT495$KUl2NnDdrSQ.ICn.JHJFLZZxmdjZ5gc/Tj7Wry9FLyB"},
	{"mkpasswd nt", "$3$$40035885514e47af473bb6c3a7425966"},
	{"openssl passwd -5", "$5$abc$OK5ossVKO6Qlq3ePi8BhzCiBxQFpYaVoLPPPncf39s3"},
	{"openssl passwd -6, behind {CRYPT}", "{CRYPT}$6$LEKZKyXugV9MSFQp$S.bYFIwnCxGH6qcgJixwsURJ6W5TbkXmT/s.pmV8qOWEgFp/riXeu.7cMhv3hKCKBJbFr5LcpusiOWNqzqePb/"},
	{"htpasswd -B", "$2y$04$xkueqi6EtAlBVwauA0gt1.mN/eMHBGzZwLM4jy3DpiSWm8BUCHYj6"},
	{"htpasswd -s", "{SHA}qingMVA3MU48yecga0jV6lzu4UY="},
	{"slappasswd {SSHA}", "{SSHA}i6z6qHoVh7UwmjuX48UaTgOQM+fnf7Ru"},
	{"slappasswd {SSHA256}", "{SSHA256}hatv6+aByxYY/gslX43+a5FmnsGO1K59IyN60iDzm9gHIybL13Ltng=="},
	{"slappasswd {SSHA512}", "{SSHA512}6a1DO/h3A8ctwncXnENdedT99z9557/zjwUE0GTyRNmkXrHAHWIsZqeuQ+pgvvPtgenW/jNYfpf+bz1J146Ibgv3Ibcx7cUg"},
	{"slappasswd {SHA256}", "{SHA256}ZIgOi0qRaSpfkISo70EqeDE3TCYyPVUMep2iwNFKGFY="},
	{"slappasswd {SHA512}", "{SHA512}awOvlZjtyq3gznFEn2xoLVo6rscZWvivEupE2H2dcj/TIYd3K2R1eeJ8XtaJtqsoGxgR/poBDowkm1NSFeICng=="},
	{"slappasswd {PBKDF2}", "{PBKDF2}10000$x6YEf90HxRGsS.bCeGsv8A$cPlsgGIHxClbwEsv7fFby121rMI"},
	{"slappasswd {PBKDF2-SHA1}", "{PBKDF2-SHA1}10000$/Y.5lBRWIOyMvMfCh3H/Bg$TIFfhGl1Ri/WLkqdxflSPY5T9Ws"},
	{"slappasswd {PBKDF2-SHA256}", "{PBKDF2-SHA256}10000$XKevJJ.iyVpoR3HbHgW7Gw$REOH1IZ7pg8hiOvFQ2XLb7.g6EQZNvy8P9QUiMJMB1g"},
	{"slappasswd {PBKDF2-SHA512}", "{PBKDF2-SHA512}10000$0OUtFlU8CHOH9yGrclC4JA$4gZpxDTqY3aWjx6l8OJJcr1WLGwhW6JxvEzw6GlW22aH7Nw0I91m5EI/dswbAJma45GFYMyC.knQGVrum/TJcg"},
	{"slappasswd {ARGON2}", "{ARGON2}$argon2i$v=19$m=4096,t=3,p=1$pyCz7uknn06MuSri8BwLlw$Uv0aPlb537k20YUD2+JzSp009rBNn+G/USePT0W1IkI"},
	{"argon2", "$argon2id$v=19$m=4096,t=2,p=1$c29tZXNhbHQx$zU4CwrsiljR999kdHosRF2qJAl90SSfazzYcLlss0cM"},
	{"passlib argon2", "$argon2id$v=19$m=64,t=1,p=4$KgWgNCYkxNjbe4/xPidkDA$3lTsw8hJh21yETvUWR1V+cC01FyEMp9OMjv08n8wEq0"},
	{"passlib pbkdf2_sha1", "$pbkdf2$1000$ztl7j7F2jhFibA1hjDEmZA$QK9e9psDOQvHVaKxEXhPri4Dw5w"},
	{"passlib pbkdf2_sha256", "$pbkdf2-sha256$1000$iFFqLWUshfA.Z4wRghCidA$lmQRQNGd7qUdkKXPDZI/XPiFHnXbILzlNileP08hjzk"},
	{"passlib pbkdf2_sha512", "$pbkdf2-sha512$1000$o3TO2VtL6V3LmRNiDOE8Zw$jQRyXx8g8J1O3GnmaRCaXIOolJ8b7urdxaiuR4D85iqENClpz.qVsBJNPXxXHZK17tCyRrsjeZacE3/RsLiQBA"},
	{"passlib scrypt", "$scrypt$ln=8,r=8,p=1$DwEAoJQSYkyJMYaQ0npv7Q$xEyHbcIWHtz19F9XVIf4EoDS+3g2Mze5acQAyH5svBo"},
	{"passlib nthash", "a6273f8b663b6edfbcdc269383b8f5ca"},
	{"passlib ldap_salted_sha512", "{SSHA512}ayCm3aCeB5TuihaThJz73EWmVNfv5tCOOGhX+4g7mrJsxFPbwKt4TsegaNBnzoSUM/NYFOmcf3VmSMWNfNBpegYAoFRKiTHm"},
	{"Django pbkdf2_sha256", "pbkdf2_sha256$1000$Ab3$DtsV4Y1nZOO8nwD+SN/Z9O7L+cJJGSy5ybF02h8BXYk="},
	{"Django pbkdf2_sha1", "pbkdf2_sha1$1000$Ofnc2gPdfpnB8nzoxBVvAx$MHre3ePzsdJQyGhfz2lujJS/fe0="},
	{"Django scrypt", "scrypt$1024$CsKoXxc2McBv6ylrpdYiCU$8$5$tr90hiH5ew6vhEKgEow3y8vDJ6SRfXpvswGPQH+dOpKesKbFurpqgj8fk9LJqQIvx6njB4u2OMVm7lX4QpZxMw=="},
	{"Django argon2", "argon2$argon2id$v=19$m=64,t=1,p=1$TjNnV1ZYZTQwWTBxbXVzQzhkcjBuMw$OkqHbrnl5xHTWRhP0deWaQGm9eA+3Dd+iCHs1w+8LiY"},
	{"Django bcrypt", "bcrypt$$2b$04$UsxOn1teleJNnrjnbtOuXuryzUUH8OPn4JzvPipBkjywj7/FbrU/2"},
	{"NT hash of a directory", "{NT}A6273F8B663B6EDFBCDC269383B8F5CA"},
	{"scheme in lower case", "{ssha}i6z6qHoVh7UwmjuX48UaTgOQM+fnf7Ru"},
	{"base64 without its padding", "{SHA}qingMVA3MU48yecga0jV6lzu4UY"},
}

// notOf are vectors of another encoding of the password: mkpasswd, as crypt(3), takes each byte for a letter.
var notOf = map[string]string{"mkpasswd nt": "wonder lÃ¤nd 1"}

func TestHashesOfOtherSystemsVerify(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			h, err := Parse(v.text)
			if err != nil {
				t.Fatal(err)
			}
			of := password
			if other := notOf[v.name]; other != "" {
				of = other
			}
			if !h.Matches([]byte(of)) {
				t.Error("the password does not fit")
			}
			for _, wrong := range []string{"", of + "x"} {
				if h.Matches([]byte(wrong)) {
					t.Errorf("%q fits", wrong)
				}
			}
		})
	}
}

// The vectors are those that the reference implementation of Argon2 tests itself with; the salt is "somesalt".
func TestArgon2VerifiesAsTheReferenceDoes(t *testing.T) {
	for of, text := range map[string]string{
		"password":          "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"differentpassword": "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$C4TWUs9rDEvq7w3+J4umqA32aWKB1+DSiRuBfYxFj94",
	} {
		h, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if !h.Matches([]byte(of)) || h.Matches([]byte(of+"x")) {
			t.Errorf("%s does not fit %s alone", text, of)
		}
	}
}

func TestOneChangedCharacterOfAHashChangesWhatFits(t *testing.T) {
	for _, v := range vectors {
		// The last character may hold bits that decoders ignore; the one before is of the hash in every form.
		at := len(strings.TrimRight(v.text, "=")) - 2
		other := byte('A')
		if v.text[at] == 'A' || v.text[at] == 'a' {
			other = 'B'
		}
		changed := v.text[:at] + string(other) + v.text[at+1:]
		if h, err := Parse(changed); err == nil && !strings.Contains(v.text, "SSHA") && h.Matches([]byte(password)) {
			t.Errorf("%s: the password fits %s, too", v.name, changed)
		}
	}
}

func TestWhatCannotBeVerifiedIsRefused(t *testing.T) {
	const salt, hash32, hash64 = "c29tZXNhbHQx", "zU4CwrsiljR999kdHosRF2qJAl90SSfazzYcLlss0cM", "jQRyXx8g8J1O3GnmaRCaXIOolJ8b7urdxaiuR4D85iqENClpz/qVsBJNPXxXHZK17tCyRrsjeZacE3/RsLiQBA"
	const crypt43, crypt86 = "OK5ossVKO6Qlq3ePi8BhzCiBxQFpYaVoLPPPncf39s3", "S.bYFIwnCxGH6qcgJixwsURJ6W5TbkXmT/s.pmV8qOWEgFp/riXeu.7cMhv3hKCKBJbFr5LcpusiOWNqzqePb/"
	for _, c := range []struct{ name, text, says string }{
		{"nothing", "", "accepted are"},
		{"clear text", "wonderland", "accepted are"},
		{"clear text with a dollar", "wonder$land", "accepted are"},
		{"clear text in braces", "{CLEARTEXT}wonderland", "accepted are"},
		{"31 digits", "a6273f8b663b6edfbcdc269383b8f5c", "accepted are"},
		{"no digits", "g6273f8b663b6edfbcdc269383b8f5ca", "accepted are"},
		{"open brace", "{SSHA", "accepted are"},
		{"only a name", "$argon2id", "accepted are"},
		{"too long", "{SSHA512}" + strings.Repeat("A", MaxText), "longer than 512 bytes"},

		{"DES", "{CRYPT}M5OLveiv7dfSI", "DES"},
		{"MD5-crypt", "$1$abc$OK5ossVKO6Qlq3ePi8Bhz0", "MD5 is not accepted"},
		{"MD5-crypt of Apache", "$apr1$abc$OK5ossVKO6Qlq3ePi8Bhz0", "MD5 is not accepted"},
		{"MD5", "{MD5}X03MO1qnZdYdgyfeuILPmQ==", "MD5 is not accepted"},
		{"SHA-1-crypt", "$sha1$40000$jtNX3nZ2$hBNaIXkt4wBI2o5rsi8KejSjNqIq", "SHA-1 is not accepted"},
		{"flawed bcrypt", "$2x$05$bpnpnM9F64n4gR9RlaZmC.FYEz0rLk/fju7lQ07JdV0UXZ3K/OgRi", "a flaw"},
		{"argon2d", "$argon2d$v=19$m=64,t=1,p=1$" + salt + "$" + hash32, "argon2d is not accepted"},
		{"Django's bcrypt of SHA-256", "bcrypt_sha256$$2b$05$bpnpnM9F64n4gR9RlaZmC.FYEz0rLk/fju7lQ07JdV0UXZ3K/OgRi", "is not accepted"},

		{"argon2 of an old version", "$argon2id$v=16$m=64,t=1,p=1$" + salt + "$" + hash32, "v=19"},
		{"argon2 without version", "$argon2id$m=64,t=1,p=1$" + salt + "$" + hash32, "v=19"},
		{"argon2 with costs in another order", "$argon2id$v=19$t=1,m=64,p=1$" + salt + "$" + hash32, "m=...,t=...,p=..."},
		{"argon2 with too much memory", "$argon2id$v=19$m=262145,t=1,p=1$" + salt + "$" + hash32, "at most 256 MiB are allowed"},
		{"argon2 with too many passes", "$argon2id$v=19$m=262144,t=3,p=1$" + salt + "$" + hash32, "262144 KiB of memory 3 times"},
		{"argon2 with passes without end", "$argon2id$v=19$m=8,t=4294967295,p=1$" + salt + "$" + hash32, "at most 512 MiB altogether"},
		{"argon2 without passes", "$argon2id$v=19$m=64,t=0,p=1$" + salt + "$" + hash32, "at least one pass"},
		{"argon2 without lanes", "$argon2id$v=19$m=64,t=1,p=0$" + salt + "$" + hash32, "1 to 255 lanes"},
		{"argon2 with too little memory", "$argon2id$v=19$m=15,t=1,p=2$" + salt + "$" + hash32, "8 KiB a lane"},
		{"argon2 with a short hash", "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$zU4C", "not 16 to 64"},
		{"argon2 without salt", "$argon2id$v=19$m=64,t=1,p=1$$" + hash32, "salt has 0 bytes"},
		{"argon2 with bad base64", "$argon2id$v=19$m=64,t=1,p=1$?$" + hash32, "base64"},

		{"bcrypt too dear", "$2b$17$bpnpnM9F64n4gR9RlaZmC.FYEz0rLk/fju7lQ07JdV0UXZ3K/OgRi", "its cost is 17; at most 16 is allowed"},
		{"bcrypt too cheap", "$2b$03$bpnpnM9F64n4gR9RlaZmC.FYEz0rLk/fju7lQ07JdV0UXZ3K/OgRi", "04 or more"},
		{"bcrypt without cost", "$2b$xx$bpnpnM9F64n4gR9RlaZmC.FYEz0rLk/fju7lQ07JdV0UXZ3K/OgRi", "two digits"},
		{"bcrypt cut off", "$2b$05$bpnpnM9F64n4gR9RlaZmC.FYEz0rLk/fju7lQ07JdV0UXZ3K/OgR", "53 characters"},
		{"bcrypt of almost nothing", "$2b$", "53 characters"},

		{"scrypt with too much memory", "$scrypt$ln=19,r=8,p=1$" + salt + "$" + hash32, "512 MiB of memory"},
		{"scrypt too often", "$scrypt$ln=18,r=8,p=3$" + salt + "$" + hash32, "262144 KiB of memory 3 times"},
		{"scrypt with N past all bounds", "$scrypt$ln=99,r=8,p=1$" + salt + "$" + hash32, "out of bounds"},
		{"scrypt with r past all bounds", "$scrypt$ln=1,r=4294967295,p=1$" + salt + "$" + hash32, "out of bounds"},
		{"scrypt with r times p past all bounds", "$scrypt$ln=1,r=65536,p=65536$" + salt + "$" + hash32, "altogether are allowed"},
		{"scrypt without p", "$scrypt$ln=8,r=8$" + salt + "$" + hash32, "ln=...,r=...,p=..."},
		{"scrypt of crypt, too much memory", "$7$FU..../....salt$" + crypt43, "512 MiB of memory"},
		{"scrypt of crypt, cut off", "$7$CU..../....", "11 characters of cost"},
		{"scrypt of crypt, other characters", "$7$C!..../....salt$" + crypt43, "alphabet"},
		{"Django's scrypt, N no power of two", "scrypt$1000$salt$8$1$" + hash64, "power of two"},
		{"Django's scrypt, cut off", "scrypt$1024$salt$8", "scrypt$N$salt$r$p$hash"},

		{"yescrypt with too much memory", "$y$jET$Y1AnH/NNI.CGeyiYW9BT5/$" + crypt43, "512 MiB of memory"},
		{"yescrypt of another flavour", "$y$k9T$Y1AnH/NNI.CGeyiYW9BT5/$" + crypt43, "$y$j"},
		{"yescrypt with a cost beyond", "$y$jzT$Y1AnH/NNI.CGeyiYW9BT5/$" + crypt43, "2^10 to 2^18"},
		{"yescrypt with a bad salt", "$y$j9T$Y1AnH!$" + crypt43, "salt"},
		{"GOST yescrypt", "$gy$j9T$Y1AnH/NNI.CGeyiYW9BT5/$" + crypt43, "accepted are"},

		{"crypt with too many rounds", "$6$rounds=1000001$salt$" + crypt86, "1000 to 1000000"},
		{"crypt with too few rounds", "$6$rounds=999$salt$" + crypt86, "1000 to 1000000"},
		{"crypt with a long salt", "$6$12345678901234567$" + crypt86, "at most 16 characters"},
		{"crypt with the hash of another kind", "$6$salt$" + crypt43, "86 characters"},

		{"PBKDF2 with too many rounds", "$pbkdf2-sha256$5000001$" + salt + "$" + hash32, "1 to 5000000"},
		{"PBKDF2 with too many rounds of too many blocks", "$pbkdf2$1250001$" + salt + "$" + strings.ReplaceAll(hash64, "+", "."), "1 to 1250000"},
		{"PBKDF2 without rounds", "$pbkdf2-sha256$$" + salt + "$" + hash32, "1 to 5000000"},
		{"PBKDF2 with no rounds", "$pbkdf2-sha256$0$" + salt + "$" + hash32, "1 to 5000000"},
		{"PBKDF2 cut off", "{PBKDF2}10000$" + salt, "rounds$salt$hash"},
		{"Django's PBKDF2 without salt", "pbkdf2_sha256$1000$$" + hash32, "salt has 0 bytes"},

		{"salted digest without salt", "{SSHA}qingMVA3MU48yecga0jV6lzu4UY=", "a salt of 1 to"},
		{"plain digest with salt", "{SHA}i6z6qHoVh7UwmjuX48UaTgOQM+fnf7Ru", "must have 20 bytes"},
		{"digest of another kind", "{SHA256}qingMVA3MU48yecga0jV6lzu4UY=", "must have 32 bytes"},
		{"digest that is not base64", "{SSHA}!!!!", "base64"},
		{"NT hash cut off", "{NT}a6273f8b663b6edfbcdc269383b8f5", "32 hexadecimal digits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := Parse(c.text)
			if !errors.Is(err, ErrHash) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, expected to read %q", err, c.says)
			}
			if h.Matches(nil) || h.Matches([]byte("wonderland")) {
				t.Error("what was refused fits a password")
			}
			for _, secret := range []string{"wonderland", "land", hash32, crypt43, "bpnpnM9F", "qingMVA3", "a6273f8b"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error quotes the hash: %v", err)
				}
			}
		})
	}
}

func TestWhatIsAtTheBoundsIsAccepted(t *testing.T) {
	const salt, hash32 = "c29tZXNhbHQx", "zU4CwrsiljR999kdHosRF2qJAl90SSfazzYcLlss0cM"
	const crypt43 = "OK5ossVKO6Qlq3ePi8BhzCiBxQFpYaVoLPPPncf39s3"
	for _, text := range []string{
		"$argon2id$v=19$m=262144,t=2,p=8$" + salt + "$" + hash32,
		"$2b$16$bpnpnM9F64n4gR9RlaZmC.FYEz0rLk/fju7lQ07JdV0UXZ3K/OgRi",
		"$scrypt$ln=18,r=8,p=2$" + salt + "$" + hash32,
		"$y$jDT$Y1AnH/NNI.CGeyiYW9BT5/$" + crypt43,
		"$7$EU..../....salt$" + crypt43,
		"$5$rounds=1000000$$" + crypt43,
		"$pbkdf2-sha256$5000000$" + salt + "$" + hash32,
	} {
		if _, err := Parse(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestOnlyAnNTHashIsOne(t *testing.T) {
	for _, v := range vectors {
		h, err := Parse(v.text)
		if err != nil {
			t.Fatal(err)
		}
		hash, ok := h.NT()
		if want := strings.Contains(strings.ToLower(v.name), "nt"); ok != (want && !strings.Contains(v.name, "crypt")) {
			t.Errorf("%s: an NT hash: %v", v.name, ok)
		}
		if ok && !strings.HasSuffix(strings.ToLower(v.text), fmt.Sprintf("%x", hash)) {
			t.Errorf("%s: %x", v.name, hash)
		}
	}
}

func TestAHashShowsNothing(t *testing.T) {
	for _, v := range vectors {
		h, err := Parse(v.text)
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			if s := fmt.Sprintf(verb, h); s != "«redacted»" {
				t.Errorf("%s: %s prints %s", v.name, verb, s)
			}
		}
		if b, err := json.Marshal(h); err != nil || string(b) != `"«redacted»"` {
			t.Errorf("%s: %s, %v", v.name, b, err)
		}
	}
}

// FuzzParse looks for what makes the parser panic, or accept what would cost more than the bounds allow. What is cheap is verified,
// too: parameters that were accepted must be ones that the functions behind them take.
func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.text)
	}
	f.Add("$2b$")
	f.Add("scrypt$1024$CsKoXxc2McBv6ylrpdYiCU$8$")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrHash) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		cheap := true
		switch k := h.kind.(type) {
		case *argon2Hash:
			work := uint64(k.memoryKiB) << 10
			if work > MaxMemory || work*uint64(k.passes) > MaxTraffic {
				t.Errorf("%q fills %d bytes %d times", text, work, k.passes)
			}
			cheap = work*uint64(k.passes) <= 1<<20
		case *scryptHash:
			cheap = k.bounded(t, text)
		case *scryptCryptHash:
			cheap = k.bounded(t, text)
		case bcryptHash:
			cheap = string(k[4:6]) <= "05"
		case yescryptHash:
			cheap = false
		case *pbkdf2Hash:
			cheap = k.rounds <= 1000
		case *shaCryptHash:
			cheap = k.rounds <= 5000
		}
		if cheap && h.Matches([]byte("a password that no fuzzer finds")) {
			t.Errorf("%q fits", text)
		}
	})
}

func (h *scryptHash) bounded(t *testing.T, text string) (cheap bool) {
	block := 128 * uint64(h.r)
	if work := block * uint64(h.n); work > MaxMemory || work*uint64(h.p) > MaxTraffic || block*uint64(h.p) > MaxMemory {
		t.Errorf("%q fills %d bytes %d times", text, work, h.p)
	}
	return block*uint64(h.n)*uint64(h.p) <= 1<<20
}
