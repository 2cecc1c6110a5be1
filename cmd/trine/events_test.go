package main

import "testing"

func TestEventIsALineOfNamesAndValues(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"text and numbers", `{"id":"A1","verdict":"reject","micros":48}`, `id=A1 verdict=reject micros=48`},
		{"what would be two words", `{"comment":"with a reason","nas":"a=b","name":""}`, `comment="with a reason" nas="a=b" name=""`},
		{"inside", `{"spec":{"groups":["staff"]},"kept":["nt"]}`, `spec={"groups":["staff"]} kept=["nt"]`},
		{"what disturbs a terminal", `{"user":"\u001b[2J"}`, `user="\x1b[2J"`},
		{"accounting's attributes", `{"status":"start","attributes":["User-Name = alice"],"raw":"00"}`, `status=start`},
		{"nothing", `{}`, ``},
		{"no object", `7`, `7`},
		{"cut off", `{"a":`, `{"a":`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := eventLine([]byte(tc.body)); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}
