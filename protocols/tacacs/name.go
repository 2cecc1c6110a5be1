package tacacs

import "golang.org/x/text/secure/precis"

// username returns a login name as RFC 8907 section 3.7 has names compared, by the UsernameCasePreserved profile of RFC 8265: characters of full and of half
// width are the ordinary ones, and what is composed of several is one (NFC). US-ASCII stays as it is, and so does what the profile forbids: nobody is called so.
func username(name []byte) []byte {
	for _, c := range name {
		if c >= 0x80 {
			if prepared, err := precis.UsernameCasePreserved.Bytes(name); err == nil {
				return prepared
			}
			break
		}
	}
	return name
}
