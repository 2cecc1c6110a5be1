package admin_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// spec is as much of an OpenAPI 3.1 document as the test looks at.
type spec struct {
	OpenAPI    string `json:"openapi"`
	Info       struct{ Title, Version string }
	Paths      map[string]map[string]operation
	Components struct {
		Schemas         map[string]json.RawMessage
		SecuritySchemes map[string]json.RawMessage
	}
	Security []map[string][]string
}

type operation struct {
	OperationID string `json:"operationId"`
	Summary     string
	Tags        []string
	Parameters  []struct {
		Name, In string
		Required bool
	}
	RequestBody *struct{ Content map[string]json.RawMessage }
	Responses   map[string]struct {
		Description string
		Content     map[string]json.RawMessage
	}
}

var (
	reference = regexp.MustCompile(`"\$ref":"([^"]*)"`)
	parameter = regexp.MustCompile(`\{([^}]*)\}`)
)

func TestOpenAPIDocumentIsSound(t *testing.T) {
	n, _ := start(t)
	data, err := n.Admin.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var s spec
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	if s.OpenAPI != "3.1.0" || s.Info.Title == "" || s.Info.Version == "" || len(s.Security) != 1 || s.Components.SecuritySchemes["apiKey"] == nil {
		t.Errorf("openapi %q, info %+v, security %v", s.OpenAPI, s.Info, s.Security)
	}
	compact := strings.NewReplacer("\n", "", `": "`, `":"`).Replace(string(data))
	for _, m := range reference.FindAllStringSubmatch(compact, -1) {
		name, ok := strings.CutPrefix(m[1], "#/components/schemas/")
		if !ok || s.Components.Schemas[name] == nil {
			t.Errorf("a reference to %s, which is not there", m[1])
		}
	}
	ids := map[string]string{}
	for path, methods := range s.Paths {
		for method, op := range methods {
			at := method + " " + path
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) == 0 {
				t.Errorf("%s lacks its id, summary or tag", at)
			}
			if other, twice := ids[op.OperationID]; twice {
				t.Errorf("%s and %s have the same id %s", at, other, op.OperationID)
			}
			ids[op.OperationID] = at
			named := map[string]bool{}
			for _, p := range op.Parameters {
				if p.In == "path" {
					named[p.Name] = p.Required
				}
			}
			for _, m := range parameter.FindAllStringSubmatch(path, -1) {
				if !named[m[1]] {
					t.Errorf("%s does not describe the parameter %s", at, m[1])
				}
			}
			success := false
			for code := range op.Responses {
				success = success || strings.HasPrefix(code, "2")
			}
			if problem := op.Responses["default"]; !success || problem.Content["application/problem+json"] == nil {
				t.Errorf("%s lacks a success or its problem: %v", at, op.Responses)
			}
			// There is nothing to say about the founding of a cluster.
			if (method == "put" || method == "post") && op.RequestBody == nil && op.OperationID != "foundCluster" {
				t.Errorf("%s describes no body", at)
			}
		}
	}
	for _, id := range []string{"planDocuments", "applyDocuments", "importDocuments", "followEvents", "createApiKey"} {
		if ids[id] == "" {
			t.Errorf("there is no operation %s", id)
		}
	}
	if s.Components.Schemas["ErrorModel"] != nil || strings.Contains(compact, "ErrorModel") {
		t.Error("the framework's own error model is described, which is never sent")
	}
}

func TestOpenAPIDocumentIsServedToEverybody(t *testing.T) {
	n, _ := start(t)
	w := wire{t: t, h: n.Admin.Handler()}
	for path, kind := range map[string]string{"/openapi.json": "application/openapi+json", "/openapi.yaml": "application/openapi+yaml"} {
		rec := w.do("GET", path, "")
		if rec.Code != 200 || rec.Header().Get("Content-Type") != kind || rec.Body.Len() == 0 {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Header().Get("Content-Type"))
		}
		if rec := w.do("GET", path, "", "If-None-Match", rec.Header().Get("ETag")); rec.Code != 304 || rec.Body.Len() != 0 {
			t.Errorf("%s again: %d", path, rec.Code)
		}
	}
}
