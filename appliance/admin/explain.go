package admin

import (
	"context"
	"net/http"
	"time"

	"trine/appliance/admin/api"
	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/trace"
)

type explainInput struct {
	Call
	ID string `path:"id" maxLength:"64" doc:"Id of the decision: 13 characters"`
}

func (s *Server) explain(ctx context.Context, in *explainInput) (*answer[api.Explanation], error) {
	number, err := event.ParseID(in.ID)
	if err != nil {
		return nil, badParameter("id", "%q is no decision id: %v", in.ID, err)
	}
	var found *api.Explanation
	for f, err := range s.facts(ctx, event.StreamKey(event.StreamDecision, event.FormatID(number)), event.ClassDecision) {
		if err != nil {
			return nil, err
		}
		if d, ok := f.body.(*event.Decided); ok && d.Id == number {
			e := explanation(&f, d)
			found = &e // an accept that could not be rendered has the reject after it: the last word is what the device got
		}
	}
	if found != nil {
		return &answer[api.Explanation]{Body: *found}, nil
	}
	return nil, api.NewProblem(http.StatusNotFound, api.ReasonNotFound,
		"there is no decision %s in the log: it is too old, of another cluster, or was decided less than a moment ago", event.FormatID(number))
}

func explanation(f *fact, d *event.Decided) api.Explanation {
	return api.Explanation{ID: event.FormatID(d.Id), Decision: decisionOf(d), Micros: d.TookMicros, Position: f.at.String()}
}

// decisionOf tells a decision's record in plain words.
func decisionOf(d *event.Decided) api.Decision {
	e := api.Decision{
		At: time.Unix(0, d.AtUnixNano).UTC(), Protocol: d.Protocol, Verdict: event.Verdict(d.Verdict).String(), Reason: d.Reason,
		UserName: wireText(d.UserName), User: d.User, Client: d.Client, Method: credential.Method(d.Method).String(), NAS: wireText(d.Nas), NASPort: d.NasPort,
		Calling: wireText(d.Calling), Called: wireText(d.Called), Source: addressText(d.Source), Policy: d.PolicyIndex,
		Port: wireText(d.Port), Service: wireText(d.Service), Command: wireText(d.Command), Level: levelOf(d.Level), Privilege: levelOf(d.Privilege),
	}
	if kind := event.DecisionKind(d.Kind); kind != event.DecidedLogin {
		e.Kind = kind.String()
	}
	if info, ok := trace.Reason(d.Reason).Info(); ok {
		e.Meaning, e.Advice = info.Meaning, info.Remedy
	}
	for _, step := range d.Steps {
		e.Steps = append(e.Steps, api.Step{
			Text:  trace.StepCode(step.Code).Words(trace.Printable(step.Subject), trace.Printable(step.Detail)),
			Nanos: step.TookNanos,
		})
	}
	return e
}

// levelOf returns a recorded privilege level; nil for none.
func levelOf(recorded uint32) *uint32 {
	if recorded == 0 {
		return nil
	}
	level := recorded - 1
	return &level
}
