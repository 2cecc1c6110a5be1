package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"trine/engine/event"
	"trine/engine/state"
)

// serveStranger has the conversation of joining with whoever came.
func (s *Service) serveStranger(_ uint64, stream net.Conn) {
	defer stream.Close()
	_ = stream.SetDeadline(time.Now().Add(joinWithin)) // fails only where reading does
	var q request
	if err := readMessage(stream, &q); err != nil {
		s.cfg.Logger.Info("somebody who wanted to join the cluster did not say how", "from", stream.RemoteAddr(), "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), joinWithin)
	defer cancel()
	var r reply
	certificate, err := s.admit(ctx, &q)
	var refused *RefusedError
	switch {
	case err == nil:
		r.Certificate = certificate
		s.cfg.Logger.Info("a node joins the cluster", "node", fmt.Sprintf("%016x", q.Node), "name", q.Name, "address", q.Address, "token", q.Token)
	case errors.As(err, &refused):
		r.Refused = refused.Reason
	default:
		r.Later = err.Error()
	}
	if err != nil {
		s.cfg.Logger.Warn("a node was not let into the cluster", "from", stream.RemoteAddr(), "error", err)
	}
	if err := writeMessage(stream, &r); err != nil {
		s.cfg.Logger.Info("a node that joins was gone before it had its answer", "from", stream.RemoteAddr(), "error", err)
	}
}

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// admit takes a node in, and returns its certificate. Who is refused for a reason that may pass gets another error than a *RefusedError.
func (s *Service) admit(ctx context.Context, q *request) ([]byte, error) {
	if len(q.Token) > 2*idBytes || len(q.Secret) != secretBytes || q.Node == 0 || len(q.Public) != 32 || len(q.Version) > 128 {
		return nil, refuse("it does not say what a node says that joins; is it of another release?")
	}
	// What was committed elsewhere a moment ago, the token or another join by it, is known here after this.
	if err := s.cfg.Log.Barrier(ctx); err != nil {
		return nil, err
	}
	if again, err := s.known(q); again != nil || err != nil {
		return again, err
	}
	t, ok := s.cfg.Views.JoinToken(q.Token)
	if !ok || !matches(q.Secret, t.Hash) {
		if _, used := s.usedBy(q.Token); used {
			return nil, refuse("the token was used up by another node; make a new one with `trine cluster token`")
		}
		return nil, refuse("the token is not known: it was taken back or has expired; make a new one with `trine cluster token`")
	}
	if t.Expired(s.cfg.Clock()) {
		return nil, refuse("the token has expired; make a new one with `trine cluster token`")
	}
	if err := checkAddress(q.Address); err != nil {
		return nil, refuse("%v", err)
	}
	if err := checkName(q.Name); err != nil {
		return nil, refuse("%v", err)
	}
	own, err := s.certify(q)
	if err != nil {
		return nil, err
	}
	joined := &event.NodeJoined{
		Node: q.Node, Name: q.Name, Address: q.Address, Role: uint32(t.Role), Public: q.Public, Serial: own.SerialNumber.Bytes(), ExpiresUnix: own.NotAfter.Unix(),
		Version: q.Version, Token: q.Token, By: "token:" + q.Token,
	}
	wraps, err := s.wraps(q.Node, q.Public)
	if err != nil {
		return nil, err
	}
	err = s.propose(ctx, append([]eventMessage{joined}, wraps...)...)
	var void *VoidError
	if errors.As(err, &void) {
		return nil, refuse("%s", void.Detail)
	}
	if err != nil {
		return nil, err
	}
	s.welcome(ctx, q)
	return own.Raw, nil
}

// known answers a node that was taken in before and has not heard it: its token, number and key are those of then.
func (s *Service) known(q *request) ([]byte, error) {
	n, ok := s.cfg.Views.Node(q.Node)
	if !ok {
		return nil, nil
	}
	if !n.Removed.IsZero() {
		return nil, refuse("node %016x was removed; it comes back with an empty data directory and a new token", q.Node)
	}
	if n.Token != q.Token || !matches(q.Secret, n.Hash) || !bytes.Equal(n.Public, q.Public) || !s.cfg.Clock().Before(n.Until) {
		return nil, refuse("node %016x is one of this cluster already", q.Node)
	}
	own, err := s.certify(q)
	if err != nil {
		return nil, err
	}
	return own.Raw, nil
}

// usedBy returns the node that joined by a token.
func (s *Service) usedBy(token string) (state.Node, bool) {
	for _, n := range s.cfg.Views.Nodes() {
		if n.Token == token {
			return n, true
		}
	}
	return state.Node{}, false
}

// certify makes a certificate for a node that joins.
func (s *Service) certify(q *request) (*certificate, error) {
	kept, ok := s.cfg.Views.Authority()
	if !ok {
		return nil, errors.New("this member has not heard of its own cluster yet")
	}
	a, err := OpenAuthority(kept, s.cfg.Keyring)
	if err != nil {
		return nil, err
	}
	own, err := a.Certify(q.Node, q.Name, q.Request, s.cfg.Clock())
	if err != nil {
		return nil, refuse("%v", err)
	}
	return own, nil
}

// wraps wraps all cluster keys for a node.
func (s *Service) wraps(node uint64, public []byte) ([]eventMessage, error) {
	var out []eventMessage
	for _, id := range s.cfg.Keyring.IDs() {
		wrapped, err := s.cfg.Keyring.Wrap(id, node, public)
		if err != nil {
			return nil, refuse("%v", err)
		}
		out = append(out, &event.ClusterKeyAdded{Id: id, Wraps: []*event.ClusterKeyAdded_Wrap{{Node: node, Wrapped: wrapped}}})
	}
	return out, nil
}

// welcome adds the node to the store's configuration. Where that fails the leader does it soon.
func (s *Service) welcome(ctx context.Context, q *request) {
	if err := s.cfg.Members.AddMember(ctx, q.Node, q.Address); err != nil {
		s.cfg.Logger.Info("the leader will add the node that joins", "node", fmt.Sprintf("%016x", q.Node), "error", err)
	}
}
