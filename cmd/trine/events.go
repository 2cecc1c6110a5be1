package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// eventsCommand is trine events.
func (c *cli) eventsCommand() *cobra.Command {
	var q client.EventQuery
	var since, until string
	var follow bool
	var limit int
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened",
		Long: "Show the events of the log. Without --since, --from or --follow the last 50 are shown, oldest first. A stream is a\n" +
			"namespace and a name: document/Kind/name, user/NAME, session/ID, client/NAME, decision/ID, nas/NAME, mac/STATION, sso/NUMBER or grant/NUMBER.\n" +
			"Tables show local time, -o json and -o yaml UTC and also the position of each event and every attribute of accounting.",
		Example: "  trine events --follow --class decision\n  trine events --since 1h --stream user/alice",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			var err error
			if q.Since, err = pointInTime(since, now); err != nil {
				return err
			}
			if q.Until, err = pointInTime(until, now); err != nil {
				return err
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			if follow {
				return c.follow(cmd, node, q, limit)
			}
			if q.Since.IsZero() && q.From == "" && !q.Reverse {
				return c.lastEvents(cmd, node, q, limit)
			}
			return c.events(cmd, node, q, limit)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on showing events as they happen; from now on, unless --since or --from is given")
	f.StringVar(&since, "since", "", "from then on: a duration such as 15m or 24h, a date, or a time (RFC 3339)")
	f.StringVar(&until, "until", "", "up to then")
	f.StringArrayVar(&q.Classes, "class", nil, "only this class: config, identity, session, accounting, decision or system; can be given more than once")
	f.StringVar(&q.Stream, "stream", "", "only this stream, such as user/alice")
	f.StringVar(&q.From, "from", "", "from this position on")
	f.BoolVar(&q.Reverse, "reverse", false, "newest first")
	limitFlag(cmd, &limit, "at most so many events")
	mustRegister(cmd, "class", fixed("config", "identity", "session", "accounting", "decision", "system"))
	return cmd
}

// lastEvents shows the newest events in the order in which they happened.
func (c *cli) lastEvents(cmd *cobra.Command, node *client.Client, q client.EventQuery, limit int) error {
	if limit == 0 {
		limit = 50
	}
	q.Reverse = true
	var last []api.Event
	for {
		q.Limit = nextPage(limit, len(last))
		list, err := node.Events(cmd.Context(), q)
		if err != nil {
			return err
		}
		if len(last) == 0 {
			c.noteIncomplete(list)
		}
		last = append(last, list.Events...)
		if q.From = list.Next; q.From == "" || len(last) >= limit {
			break
		}
	}
	for _, ev := range slices.Backward(last[:min(len(last), limit)]) {
		if err := c.showEvent(&ev); err != nil {
			return err
		}
	}
	return nil
}

// noteIncomplete says beside the events that the node does not have all of them yet.
func (c *cli) noteIncomplete(list *api.EventList) {
	if list.CompleteFrom > 0 {
		fmt.Fprintf(c.err, "This node has all events from index %d on; those before are still coming from the other nodes.\n", list.CompleteFrom)
	}
}

// events shows all events that the query selects, page by page.
func (c *cli) events(cmd *cobra.Command, node *client.Client, q client.EventQuery, limit int) error {
	for shown := 0; ; {
		q.Limit = nextPage(limit, shown)
		list, err := node.Events(cmd.Context(), q)
		if err != nil {
			return err
		}
		if shown == 0 {
			c.noteIncomplete(list)
		}
		if limit > 0 && len(list.Events) > limit-shown { // a stream's staged events come by the piece
			list.Events = list.Events[:limit-shown]
		}
		for i := range list.Events {
			if err := c.showEvent(&list.Events[i]); err != nil {
				return err
			}
		}
		shown += len(list.Events)
		if q.From = list.Next; q.From == "" || limit > 0 && shown >= limit {
			return nil
		}
	}
}

// follow shows events as they happen until it is interrupted.
func (c *cli) follow(cmd *cobra.Command, node *client.Client, q client.EventQuery, limit int) error {
	shown := 0
	for ev, err := range node.Follow(cmd.Context(), q) {
		if err != nil {
			return err
		}
		if err := c.showEvent(&ev); err != nil {
			return err
		}
		if shown++; limit > 0 && shown >= limit {
			break
		}
	}
	return nil
}

func (c *cli) showEvent(ev *api.Event) error {
	return c.showLine(ev, func(w io.Writer) {
		fmt.Fprintf(w, "%s  %-10s  %-16s  %s\n", ev.At.Local().Format("2006-01-02 15:04:05.000"), ev.Class, ev.Type, eventLine(ev.Body))
	})
}

// eventLine writes an event's fields as name=value, in their order. What accounting records hold beyond their fields, which can be
// long, is left to the other formats.
func eventLine(body []byte) string {
	dec := json.NewDecoder(bytes.NewReader(body))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return printable(string(body))
	}
	var words []string
	for dec.More() {
		name, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return printable(string(body))
		}
		if name == "attributes" || name == "raw" {
			continue
		}
		text := string(value)
		var plain string
		if json.Unmarshal(value, &plain) == nil && plain != "" && !strings.ContainsAny(plain, " =\"") {
			text = plain
		}
		words = append(words, fmt.Sprintf("%v=%s", name, printable(text)))
	}
	return strings.Join(words, " ")
}

// pointInTime reads a duration before now, a date, or a time.
func pointInTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%q is no time: write a duration such as 15m, a date such as 2006-01-31, or a time such as 2006-01-31T15:04:05Z", text)
}
