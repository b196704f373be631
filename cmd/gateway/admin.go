package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/teloo/realtime-gateway/api/admin"
)

type adminCmd struct {
	URL     string        `help:"A node's address, as https://host:port; this machine's METRICS_PORT, or else PORT, if not set." placeholder:"URL"`
	Timeout time.Duration `default:"15s"                                                                                         help:"How long to wait for the answer."`

	Sockets    adminSocketsCmd    `cmd:"" help:"List a user's sockets in the cluster."`
	Disconnect adminDisconnectCmd `cmd:"" help:"Close a user's sockets; the user may come back, unless revoked."`
	Revoke     adminRevokeCmd     `cmd:"" help:"Revoke a token, or a user's tokens, and close their sockets."`
	Grant      adminGrantCmd      `cmd:"" help:"Let a user subscribe to a solicitud."`
	Withdraw   adminWithdrawCmd   `cmd:"" help:"Take a grant back, and the user out of the solicitud's room."`
	Publish    adminPublishCmd    `cmd:"" help:"Publish an event without access to Redis."`
	Drain      adminDrainCmd      `cmd:"" help:"Make the node at --url send its clients to the others."`
	LogLevel   adminLogLevelCmd   `cmd:"" help:"Show or change how much the node at --url logs."                 name:"log-level"`
}

// Help is shown below the flags.
func (*adminCmd) Help() string {
	return "The key is read from ADMIN_API_KEY, in the environment or the --env-file, and never from the command line, which others can see."
}

type adminSocketsCmd struct {
	User string `arg:""             help:"User id."`
	JSON bool   `help:"Print JSON."`
}

// Run prints a table, or the answer as it came.
func (s *adminSocketsCmd) Run(ctx context.Context, a *app, parent *adminCmd) error {
	var raw json.RawMessage
	if err := parent.call(ctx, a, adminRequest{http.MethodGet, []string{"users", s.User, "sockets"}, nil, &raw}); err != nil {
		return err
	}
	if s.JSON {
		_, err := fmt.Fprintln(a.stdout, strings.TrimSpace(string(raw)))
		return err
	}
	var answer struct {
		Sockets []admin.Socket `json:"sockets"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("the answer is no list of sockets: %w", err)
	}
	if len(answer.Sockets) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no sockets")
		return err
	}
	return writeSockets(a.stdout, answer.Sockets)
}

func writeSockets(out io.Writer, sockets []admin.Socket) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SOCKET\tNODE\tROLE\tTRANSPORT\tADDRESS\tCONNECTED\tTOKEN EXPIRES\tROOMS")
	for _, s := range sockets {
		cells := []string{
			s.ID, s.Node, s.Role, s.Transport, s.Address, timeCell(s.ConnectedAt), timeCell(s.TokenExpires), strings.Join(s.Rooms, ","),
		}
		for i := range cells {
			if cells[i] == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

func timeCell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

type adminDisconnectCmd struct {
	User string `arg:"" help:"User id."`
}

// Run says how many sockets were closed.
func (d *adminDisconnectCmd) Run(ctx context.Context, a *app, parent *adminCmd) error {
	var answer struct {
		Disconnected int `json:"disconnected"`
	}
	if err := parent.call(ctx, a, adminRequest{http.MethodPost, []string{"users", d.User, "disconnect"}, nil, &answer}); err != nil {
		return err
	}
	return tell(a, "closed %d sockets of user %s", answer.Disconnected, d.User)
}

type adminRevokeCmd struct {
	JTI    string `help:"The token with this jti."                                                            name:"jti"         placeholder:"ID" required:"" xor:"what"`
	User   string `help:"This user's tokens."                                                                 placeholder:"ID"   required:""      xor:"what"`
	Exp    string `help:"With --jti: the token's exp, until when it is remembered; unix seconds or RFC 3339." placeholder:"TIME"`
	Before string `help:"With --user: only tokens issued then or earlier; all up to now, if not set."         placeholder:"TIME"`
}

// Run revokes.
func (r *adminRevokeCmd) Run(ctx context.Context, a *app, parent *adminCmd) error {
	body := map[string]any{}
	for name, value := range map[string]string{"jti": r.JTI, "user": r.User} {
		if value != "" {
			body[name] = value
		}
	}
	for name, value := range map[string]string{"exp": r.Exp, "before": r.Before} {
		if value == "" {
			continue
		}
		body[name] = value
		if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
			body[name] = seconds
		}
	}
	if err := parent.call(ctx, a, adminRequest{http.MethodPost, []string{"revocations"}, body, nil}); err != nil {
		return err
	}
	if r.JTI != "" {
		return tell(a, "revoked token %s", r.JTI)
	}
	return tell(a, "revoked the tokens of user %s", r.User)
}

type adminGrantCmd struct {
	Solicitud string         `arg:""                                          help:"Solicitud id."`
	User      string         `arg:""                                          help:"User id."`
	TTL       *time.Duration `help:"How long it lasts; GRANT_TTL if not set." name:"ttl"           placeholder:"DURATION"`
}

// Run grants.
func (g *adminGrantCmd) Run(ctx context.Context, a *app, parent *adminCmd) error {
	var body any
	if g.TTL != nil {
		if *g.TTL%time.Second != 0 {
			return fmt.Errorf("--ttl: %v is not of whole seconds", *g.TTL)
		}
		body = map[string]int64{"ttl_seconds": int64(*g.TTL / time.Second)}
	}
	if err := parent.call(ctx, a, adminRequest{http.MethodPut, grantPath(g.Solicitud, g.User), body, nil}); err != nil {
		return err
	}
	return tell(a, "granted solicitud %s to user %s", g.Solicitud, g.User)
}

type adminWithdrawCmd struct {
	Solicitud string `arg:"" help:"Solicitud id."`
	User      string `arg:"" help:"User id."`
}

// Run withdraws.
func (w *adminWithdrawCmd) Run(ctx context.Context, a *app, parent *adminCmd) error {
	if err := parent.call(ctx, a, adminRequest{http.MethodDelete, grantPath(w.Solicitud, w.User), nil, nil}); err != nil {
		return err
	}
	return tell(a, "withdrew solicitud %s from user %s", w.Solicitud, w.User)
}

func grantPath(solicitud, user string) []string {
	return []string{"solicitudes", solicitud, "grants", user}
}

type adminPublishCmd struct {
	Event   string   `help:"Event name."                                            placeholder:"NAME"                required:""`
	Data    string   `default:"{}"                                                  help:"Event data, a JSON object." placeholder:"JSON"`
	Rooms   []string `help:"Rooms, comma-separated, in place of the routing table." placeholder:"ROOM"`
	EventID string   `help:"Idempotency key: a repeated one is relayed once."       name:"event-id"                   placeholder:"ID"`
}

// Run publishes the event and prints its id.
func (p *adminPublishCmd) Run(ctx context.Context, a *app, parent *adminCmd) error {
	if !json.Valid([]byte(p.Data)) {
		return errors.New("--data: is not JSON")
	}
	body := map[string]any{"event": p.Event, "data": json.RawMessage(p.Data)}
	if len(p.Rooms) > 0 {
		body["rooms"] = p.Rooms
	}
	if p.EventID != "" {
		body["event_id"] = p.EventID
	}
	var answer struct {
		ID string `json:"id"`
	}
	if err := parent.call(ctx, a, adminRequest{http.MethodPost, []string{"events"}, body, &answer}); err != nil {
		return err
	}
	return tell(a, "%s", answer.ID)
}

type adminDrainCmd struct{}

// Run names the node that drains, since behind a load balancer it may be any.
func (*adminDrainCmd) Run(ctx context.Context, a *app, parent *adminCmd) error {
	var answer struct {
		Node string `json:"node"`
	}
	if err := parent.call(ctx, a, adminRequest{http.MethodPost, []string{"drain"}, nil, &answer}); err != nil {
		return err
	}
	return tell(a, "node %s drains", answer.Node)
}

func tell(a *app, format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format+"\n", args...)
	return err
}
