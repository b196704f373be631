// Command go is a Go Socket.IO client as a program: `go URL TOKEN websocket|both`. It is a module of its own, so that the
// client is no dependency of the gateway's.
//
// Polling alone is not offered: over that, this client (3.0.4) sends no event while a poll waits, to Node neither.
//
// It prints what it is told, one JSON array a line: ["connect", recovered], ["disconnect"], ["connect_error", data] or
// ["event", name, ...args]. A line [name, ...args] on its input is emitted, and its answer printed as ["ack", ...].
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/zishang520/socket.io/clients/engine/v3/transports"
	"github.com/zishang520/socket.io/clients/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

var telling sync.Mutex

func tell(what ...any) {
	line, err := json.Marshal(what)
	if err != nil {
		line = fmt.Appendf(nil, `["fault",%q]`, err)
	}
	telling.Lock()
	defer telling.Unlock()
	fmt.Println(string(line))
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go URL TOKEN websocket|both")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url, token, transport string) error {
	opts := socket.DefaultOptions()
	opts.SetAuth(map[string]any{"token": token})
	if transport != "both" {
		opts.SetTransports(types.NewSet(transports.WebSocket))
	}
	opts.SetReconnectionDelay(200)
	opts.SetReconnectionDelayMax(1000)
	s, err := socket.Connect(url, opts)
	if err != nil {
		return err
	}
	_ = s.On("connect", func(...any) { tell("connect", s.Recovered()) })
	_ = s.On("disconnect", func(reason ...any) { tell(append([]any{"disconnect"}, reason[0])...) })
	_ = s.On("connect_error", func(args ...any) { tell("connect_error", refusal(args[0])) })
	s.OnAny(func(args ...any) { tell(append([]any{"event"}, args...)...) })
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var event []any
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return err
		}
		name, _ := event[0].(string)
		s.EmitWithAck(name, event[1:]...)(func(answer []any, err error) { tell(append([]any{"ack"}, answer...)...) })
	}
	s.Disconnect()
	return nil
}

// refusal is what a connect error carries; its text if that is none of the server's.
func refusal(given any) any {
	err, ok := given.(error)
	if extended := (*types.ExtendedError)(nil); ok && errors.As(err, &extended) {
		return map[string]any{"message": extended.Message, "data": extended.Data}
	}
	return fmt.Sprint(given)
}
