package web

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// hostileCSS are style sheets that would load something, run something or end their element.
var hostileCSS = []string{
	`</style><script>alert(1)</script>`, `<!--</style><img src=x onerror=alert(1)>`, `@import "https://evil.example.org/x.css";`, `@import url(//evil.example.org/x.css)`, `@\69mport "https://evil.example.org/";`,
	`@im/**/port "https://evil.example.org/";`, `@imp@import "x";ort "https://evil.example.org/";`, `body{background:url(https://evil.example.org/)}`, `body{background:u\72l(https://evil.example.org/)}`,
	`body{background:u\000072 l(https://evil.example.org/)}`, `body{background:\75 \72 \6c (https://evil.example.org/)}`, `body{background:URL( "https://evil.example.org/" )}`,
	`body{background:uurl(x)rl(https://evil.example.org/)}`, `body{background:url('data:text/html,<script>alert(1)</script>')}`, `body{background:url(data:image/png,x"onload=)}`,
	`body{background:image-set("https://evil.example.org/" 1x)}`, `body{background:-webkit-image-set(url(https://evil.example.org/) 1x)}`, `body{background:image("https://evil.example.org/")}`,
	`@font-face{font-family:x;src:url(https://evil.example.org/)}`, `body{background:src("https://evil.example.org/")}`, `input[value^="a"]{background:url(https://evil.example.org/a)}`,
	`body{background:url(https://evil.example.org/`, `body{background:url("https://evil.example.org/`, `body{background:url(/login/logout)}`, `a{content:"\";}body{background:url(https://evil.example.org/)}`,
	"a{content:\"\n}body{background:url(https://evil.example.org/)}", `/*"*/body{background:url(https://evil.example.org/)}/*"*/`, "body{background:url(\"data:image/png,x\"), url(https://evil.example.org/)}",
	`url("dAtA:imAge/png,url(")`, `a{content:"url("data:image/png,;}b{background:url(//evil.example.org/);c:")}`, // what is text to one is none to the other
	"body{behavior:url(x.htc)}", "body{-moz-binding:url(https://evil.example.org/#x)}", "body{background:u\x00rl(https://evil.example.org/)}", "body{background:url(\\\nhttps://evil.example.org/)}",
}

var loaded = regexp.MustCompile(`(?i)@import|(?:url|image|image-set|src)\(`)

// harmless reports what of a style sheet that was cleaned could load something or leave its element.
func harmless(css string) string {
	if strings.ContainsAny(css, "<\x00") {
		return "it can end its element"
	}
	for _, at := range loaded.FindAllStringIndex(css, -1) {
		if rest := css[at[0]:]; !regexp.MustCompile(`(?i)^url\(\s*["']?data:image/`).MatchString(rest) {
			return "it loads " + rest
		}
	}
	return ""
}

func TestHostileStyleSheetsLoadNothingAndStayInTheirElement(t *testing.T) {
	for _, css := range hostileCSS {
		clean := cleanCSS(css)
		if why := harmless(clean); why != "" {
			t.Errorf("%q becomes %q: %s", css, clean, why)
		}
	}
	for css, want := range map[string]string{
		"body { color: red }": "body { color: red }", `a::before { content: "\201C" }`: `a::before { content: "\201C" }`, "/* x */p{}": "p{}", `.a\:b{}`: `.a:b{}`,
		`b{background:url("data:image/png;base64,AAAA")}`: `b{background:url("data:image/png;base64,AAAA")}`, "main > p { margin: 0 }": "main > p { margin: 0 }",
	} {
		if got := cleanCSS(css); got != want {
			t.Errorf("%q becomes %q, want %q", css, got, want)
		}
	}
}

func FuzzStyleSheet(f *testing.F) {
	for _, css := range hostileCSS {
		f.Add(css)
	}
	f.Fuzz(func(t *testing.T, css string) {
		clean := cleanCSS(css)
		if why := harmless(clean); why != "" {
			t.Fatalf("%q becomes %q: %s", css, clean, why)
		}
	})
}

// hostileHTML are headers that would run something, ask for something, load something or go on into the page.
var hostileHTML = []string{
	`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<svg onload=alert(1)>`, `<a href="javascript:alert(1)">x</a>`, `<a href="data:text/html,<script>alert(1)</script>">x</a>`, `<a href=" java	script:alert(1)">x</a>`,
	`<form action="https://evil.example.org"><input name=password></form>`, `<input name="flow">`, `<button formaction="https://evil.example.org">x</button>`, `<base href="https://evil.example.org/">`,
	`<meta http-equiv="refresh" content="0;url=https://evil.example.org">`, `<link rel=stylesheet href="https://evil.example.org">`, `<style>body{display:none}</style>`, `<iframe src="https://evil.example.org"></iframe>`,
	`<object data=x></object><embed src=x>`, `<img src="https://evil.example.org/pixel.png">`, `<img src="//evil.example.org/pixel.png">`, `<img src="data:text/html;base64,AAAA">`, `<p style="position:fixed;inset:0">x</p>`,
	`<p id="login" name="flow">x</p>`, `<a href="https://evil.example.org">`, `<b><i><div><a href="https://evil.example.org">unclosed`, `</header></main></body>`, `</div></div>x`, `<!-- <p>`, `<textarea>`, `<plaintext>`, `<title>`,
	`<math><mi xlink:href="javascript:alert(1)">`, `<noscript><p title="</noscript><img src=x onerror=alert(1)>">`, `<table><tr><td>`, `<select><option>`, `<template><script>alert(1)</script></template>`, "<p\x00onclick=alert(1)>",
	`<svg><style><img src=x onerror=alert(1)></style></svg>`, `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`, `<video src=x><source src=x onerror=alert(1)></video>`,
}

// tame says what of a header that was cleaned is not what a header may have.
func tame(text string) (why string) {
	nodes, err := html.ParseFragment(strings.NewReader(text), &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div})
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode && !slices.Contains(strings.Fields("a address b blockquote br code div em h2 h3 h4 hr i img li ol p small span strong sub sup u ul"), n.Data) {
			why = "it has an element " + n.Data
		}
		for _, a := range n.Attr {
			switch {
			case !slices.Contains(strings.Fields("class lang dir title href src alt width height"), a.Key):
				why = "it has an attribute " + a.Key
			case a.Key == "src" && !strings.HasPrefix(strings.ToLower(a.Val), "data:image/"), a.Key == "href" && !links.MatchString(a.Val):
				why = "it goes to " + a.Val
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	for _, n := range nodes {
		walk(n)
		if err := html.Render(&b, n); err != nil {
			return err.Error()
		}
	}
	if why == "" && b.String() != text {
		why = "a browser makes this of it: " + b.String()
	}
	return why
}

func TestHostileHeadersRunNothingAndStayInTheirPlace(t *testing.T) {
	p := htmlPolicy()
	for _, text := range hostileHTML {
		if clean := cleanHTML(p, text); tame(clean) != "" {
			t.Errorf("%q becomes %q: %s", text, clean, tame(clean))
		}
	}
	for text, want := range map[string]string{
		`<p class="brand">Corp</p>`: `<p class="brand">Corp</p>`, `<a href="https://example.org/help">Help</a>`: `<a href="https://example.org/help">Help</a>`, `<a href="/protected">You</a>`: `<a href="/protected">You</a>`,
		`<img src="data:image/png;base64,AAAA" alt="Logo" width="40">`: `<img src="data:image/png;base64,AAAA" alt="Logo" width="40"/>`, `<a href="mailto:help@example.org">Mail</a>`: `<a href="mailto:help@example.org">Mail</a>`,
	} {
		if got := cleanHTML(p, text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, text := range hostileHTML {
		f.Add(text)
	}
	p := htmlPolicy()
	f.Fuzz(func(t *testing.T, text string) {
		if clean := cleanHTML(p, text); tame(clean) != "" {
			t.Fatalf("%q becomes %q: %s", text, clean, tame(clean))
		}
	})
}

func TestLookOfAnIdentityProviderIsOnItsPages(t *testing.T) {
	look := `lookAndFeel: {css: "h1{color:red}</style><script>alert(1)</script>", header: "<b>Head<script>alert(1)</script>", footer: "<i>Foot"}, name: "</title><script>alert(2)</script>",`
	r := newRig(t, strings.Replace(house, "type: local, name: Home,", "type: local, "+look, 1))
	b := r.browser().get("/go?sp=shop").says("<b>Head</b></header>").says("<i>Foot</i></footer>").says("<style>h1{color:red}")
	if strings.Contains(b.body, "<script>alert") {
		t.Error(b.body)
	}
	if csp := b.header.Get("Content-Security-Policy"); !strings.Contains(csp, "style-src 'self' 'sha256-") || strings.Contains(csp, "unsafe") {
		t.Error(csp)
	}
}
