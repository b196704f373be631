package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// session is one connection of a client, from the gateway's greeting on.
type session struct {
	up, ready, down int64 // unix ms; 0: not yet
	recovered       bool  // what the gateway said
	said            bool  // what the client library said
	node, user      string
	why             string // of its end
	received        int    // receipts before it began
	ended           int    // receipts when it ended
	begunReady      int    // events that had been begun when it was ready
}

// record is everything that one client reported.
type record struct {
	person   person
	receipts []receipt
	sessions []session
	refusals []string // reasons of connect_error
	troubles []string
}

func (r *record) connected() bool {
	return len(r.sessions) > 0 && r.sessions[len(r.sessions)-1].down == 0
}

func (r *record) ready() bool {
	return r.connected() && r.sessions[len(r.sessions)-1].ready > 0
}

// node is the name of the node it is, or was last, connected to.
func (r *record) node() string {
	if len(r.sessions) == 0 {
		return ""
	}
	return r.sessions[len(r.sessions)-1].node
}

// fleet is the clients, in a few Node processes, or light ones in this.
type fleet struct {
	workers []*worker
	per     int

	lights  []*light
	running sync.WaitGroup     // the light ones
	cancel  context.CancelFunc // of them; nil: there are none

	mu      sync.Mutex
	records []*record // guarded by mu, by person
	begun   func() int
}

type worker struct {
	process *process
	input   io.WriteCloser
	read    chan struct{} // closed when its reports have ended
}

type fleetPlan struct {
	dir, script string // the worker program
	people      []person
	url         func(id int) string
	perWorker   int
	options     map[string]any // of the official client
	spread      time.Duration  // over which they connect
	begun       func() int     // how many events were begun
}

// startFleet returns what it started also with an error, to be stopped.
func startFleet(plan fleetPlan) (*fleet, error) {
	f := &fleet{per: plan.perWorker, begun: plan.begun}
	for _, p := range plan.people {
		f.records = append(f.records, &record{person: p})
	}
	for from := 0; from < len(plan.people); from += plan.perWorker {
		if err := f.startWorker(plan, plan.people[from:min(from+plan.perWorker, len(plan.people))]); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *fleet) startWorker(plan fleetPlan, people []person) error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // the child has its own
	cmdOut, cmdIn, err := os.Pipe()
	if err != nil {
		return errors.Join(err, out.Close())
	}
	defer func() { _ = cmdOut.Close() }() // the child has its own
	name := fmt.Sprintf("worker%d", len(f.workers)+1)
	p, err := spawn(spawnPlan{dir: plan.dir, name: name, in: cmdOut, out: in, cwd: filepath.Dir(plan.script)}, "node", plan.script)
	if err != nil {
		return errors.Join(err, out.Close(), cmdIn.Close())
	}
	w := &worker{process: p, input: cmdIn, read: make(chan struct{})}
	f.workers = append(f.workers, w)
	go func() {
		defer close(w.read)
		f.listen(out)
		_ = out.Close()
	}()
	list := make([]map[string]any, 0, len(people))
	for _, p := range people {
		list = append(list, map[string]any{
			"id": p.id, "url": plan.url(p.id), "token": token(p, time.Hour), "polling": p.polling, "solicitudes": p.solicitudes,
		})
	}
	return w.tell(map[string]any{"cmd": "start", "people": list, "options": plan.options, "spread": plan.spread.Milliseconds()})
}

func (w *worker) tell(command map[string]any) error {
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	_, err = w.input.Write(append(line, '\n'))
	return err
}

// tell sends a command about one client to its worker.
func (f *fleet) tell(id int, command map[string]any) error {
	return f.workers[id/f.per].tell(command)
}

// report is one line of a worker.
type report struct {
	T         int64  `json:"t"`  // unix ms, of what is not a receipt
	Received  []int  `json:"rx"` // of each receipt: client, number, kind, unix ms
	Event     string `json:"ev"`
	Client    int    `json:"c"`
	Recovered bool   `json:"recovered"`
	Said      bool   `json:"said"`
	Node      string `json:"node"`
	User      string `json:"user"`
	Why       string `json:"why"`
}

func (f *fleet) listen(from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 64<<10), 64<<20)
	for lines.Scan() {
		var r report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			continue // a library's chatter
		}
		f.note(r)
	}
}

func (f *fleet) note(r report) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := 0; i+3 < len(r.Received); i += 4 {
		c := f.records[r.Received[i]]
		c.receipts = append(c.receipts, receipt{n: r.Received[i+1], kind: r.Received[i+2], at: int64(r.Received[i+3])})
	}
	if r.Event == "" {
		return
	}
	c := f.records[r.Client]
	switch r.Event {
	case "up":
		c.sessions = append(c.sessions, session{
			up: r.T, recovered: r.Recovered, said: r.Said, node: r.Node, user: r.User, received: len(c.receipts),
		})
	case "ready":
		s := &c.sessions[len(c.sessions)-1]
		s.ready, s.begunReady = r.T, f.begun()
	case "down":
		if len(c.sessions) > 0 {
			s := &c.sessions[len(c.sessions)-1]
			s.down, s.why, s.ended = r.T, r.Why, len(c.receipts)
		}
	case "refused":
		c.refusals = append(c.refusals, r.Why)
	case "trouble":
		c.troubles = append(c.troubles, r.Why)
	}
}

// look gives f's records to fn, which must not keep them.
func (f *fleet) look(fn func([]*record)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(f.records)
}

// away counts the clients that are not connected and subscribed.
func (f *fleet) away() int {
	away := 0
	f.look(func(records []*record) {
		for _, r := range records {
			if !r.ready() {
				away++
			}
		}
	})
	return away
}

// complaints says what those that are away complained of last, and how many of each.
func (f *fleet) complaints() string {
	counts := map[string]int{}
	f.look(func(records []*record) {
		for _, r := range records {
			if r.ready() {
				continue
			}
			state := "not connected"
			if r.connected() {
				state = "not subscribed"
			}
			if r.person.polling {
				state += " (polling)"
			}
			counts[fmt.Sprintf("%s, refused %q, trouble %q", state, last(r.refusals), last(r.troubles))]++
		}
	})
	return fmt.Sprint(counts)
}

// stop ends the workers and waits for their last reports.
func (f *fleet) stop() error {
	var errs []error
	if f.cancel != nil {
		f.cancel()
		f.running.Wait()
	}
	for _, w := range f.workers {
		w.process.mayEnd.Store(true)
		_ = w.tell(map[string]any{"cmd": "end"})
		_ = w.input.Close()
	}
	for _, w := range f.workers {
		if err := w.process.end(syscall.SIGCONT, 10*time.Second); err != nil {
			errs = append(errs, err)
		}
		<-w.read
	}
	return errors.Join(errs...)
}
