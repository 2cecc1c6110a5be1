package delivery

import (
	"net/mail"
	"strings"

	"trine/engine/document"
)

// mailAddress returns a mail address in the form in which it is sent, and the form in which recipients are told apart.
func mailAddress(text string) (to, key string, ok bool) {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.ContainsAny(text, "<>,;") {
		return "", "", false // one address and nothing else: no name, no list, no line
	}
	a, err := mail.ParseAddress(text)
	if err != nil || len(a.Address) > 254 {
		return "", "", false
	}
	return a.Address, strings.ToLower(a.Address), true
}

// phoneNumber returns a telephone number as + and digits (E.164), which tells recipients apart, too. Blanks, hyphens, dots, slashes and
// parentheses do not count; 00 stands for +, and a first 0 for the gateway's country code.
func phoneNumber(text string, g *document.HTTPGateway) (string, bool) {
	number := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \u00a0-./()", r) {
			return -1
		}
		return r
	}, strings.Replace(text, "(0)", "", 1))
	switch {
	case strings.HasPrefix(number, "+"):
	case strings.HasPrefix(number, "00"):
		number = "+" + number[2:]
	case strings.HasPrefix(number, "0") && g.CountryCode != "":
		number = "+" + g.CountryCode + number[1:]
	default:
		return "", false
	}
	digits := number[1:]
	if len(digits) < 7 || len(digits) > 15 || digits[0] == '0' || strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' }) {
		return "", false
	}
	if len(g.Prefixes) == 0 {
		return number, true
	}
	for _, p := range g.Prefixes {
		if strings.HasPrefix(number, p) {
			return number, true
		}
	}
	return "", false
}
