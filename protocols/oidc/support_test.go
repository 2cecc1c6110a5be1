package oidc

import "encoding/base64"

func encodePart(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
