package document

import "strings"

// suggest returns "did you mean ...?" for the choice that is nearest to the word, or nothing.
func suggest(word string, choices []string) string {
	if best := nearest(word, choices); best != "" {
		return "did you mean " + best + "?"
	}
	return ""
}

// suggestField also looks into the blocks below.
func suggestField(word string, fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	if s := suggest(word, names); s != "" {
		return s
	}
	for _, f := range fields {
		below, ok := structUnder(f.typ)
		if !ok {
			continue
		}
		for _, b := range schemas[below] {
			if strings.EqualFold(b.name, word) {
				return "did you mean " + f.name + "." + b.name + "?"
			}
		}
	}
	return ""
}

func nearest(word string, choices []string) string {
	best, least := "", 1+min(3, max(1, len(word)/3))
	for _, c := range choices {
		if strings.EqualFold(c, word) {
			return c
		}
		if n := distance(strings.ToLower(word), strings.ToLower(c), least); n < least {
			best, least = c, n
		}
	}
	return best
}

// distance counts the letters to insert, remove, replace or swap with their neighbour to make one word of the other. Words
// that differ in length by the limit or more have the limit as their distance.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > 64 || len(b) > 64 {
		return limit
	}
	var rows [3][66]int
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	prev2, prev, cur := &rows[2], &rows[0], &rows[1]
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// or lists choices in words: a, b or c.
func or(choices []string) string {
	switch len(choices) {
	case 0:
		return "nothing"
	case 1:
		return choices[0]
	}
	return strings.Join(choices[:len(choices)-1], ", ") + " or " + choices[len(choices)-1]
}
