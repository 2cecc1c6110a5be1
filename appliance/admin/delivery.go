package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/message"
)

// testTime is how long a test message is tried.
const testTime = 30 * time.Second

func (s *Server) registerDelivery(a huma.API) {
	register(a, operation{
		id: "testDelivery", method: http.MethodPost, path: "/delivery/test", tag: "Delivery", summary: "Send a test message and say what became of it",
		about: "By the MessageGateway of the channel and within its limits. Delivered means that the next server on the way took the message.", scopes: []string{ScopeWrite},
	}, s.testDelivery)
}

type testDeliveryInput struct {
	Call
	Body api.TestMessage
}

// delivered learns of a message in its own time; nobody may listen by then.
type delivered chan *message.Message

// Delivered implements message.Done.
func (d delivered) Delivered(m *message.Message) { d <- m }

func (s *Server) testDelivery(ctx context.Context, in *testDeliveryInput) (*answer[api.Delivery], error) {
	channel, ok := message.ParseChannel(in.Body.Channel)
	if !ok {
		return nil, badParameter("body.channel", "there is no channel %q; there are mail, sms and push", in.Body.Channel)
	}
	done := make(delivered, 1)
	started := s.now()
	m := &message.Message{
		Kind: message.Test, Channel: channel, To: in.Body.To, Language: in.Body.Language, Values: message.Values{Service: "Trine on " + s.cfg.Status().Node},
		Expires: started.Add(testTime), Done: done,
	}
	err := s.cfg.Messenger.Submit(m)
	if err == nil {
		select {
		case <-done:
			err = m.Err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	out := api.Delivery{Delivered: err == nil, Gateway: m.Gateway, Attempts: m.Attempts, Millis: s.now().Sub(started).Milliseconds()}
	if err != nil {
		reason := message.Reason(err)
		info, _ := reason.Info()
		out.Reason, out.Error, out.Advice = string(reason), err.Error(), info.Remedy
	}
	return &answer[api.Delivery]{Body: out}, nil
}
