package conformance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// Each test here is of a fault that a Socket.IO server was seen to have, and says how often it happened.

// events are n events, as messages of a payload.
func events(n int) []string {
	packets := make([]string, n)
	for i := range packets {
		packets[i] = fmt.Sprintf(`42["count",%d]`, i)
	}
	return packets
}

func TestEventsBeforeACloseAreHandledBeforeIt(t *testing.T) {
	s := start(t, nil)
	const clients, each = 30, 100
	var frames []byte
	for _, e := range events(each) {
		frames = append(frames, textFrame(e)...)
	}
	for name, leave := range map[string]func(s *server, tag string){
		"a close frame": func(s *server, tag string) {
			w := s.connectWS(tag)
			w.write(join(frames, closeFrame(closeNormal)))
			go w.end()
		},
		"a half-close": func(s *server, tag string) {
			w := s.connectWS(tag)
			w.write(frames)
			_ = w.CloseWrite()
			go w.end()
		},
		"Socket.IO's own goodbye, together": func(s *server, tag string) {
			w := s.connectWS(tag)
			w.write(join(frames, textFrame(disconnectPacket), closeFrame(closeNormal)))
			go w.end()
		},
		"a close packet by polling": func(s *server, tag string) {
			p := s.connectPoll(tag)
			p.push(strings.Join(events(each), separator))
			p.push("1")
		},
		"a close packet by polling, together": func(s *server, tag string) {
			s.connectPoll(tag).push(strings.Join(append(events(each), "1"), separator))
		},
		"a close packet after an upgrade": func(s *server, tag string) {
			p := s.connectPoll(tag)
			w := p.upgrade()
			w.write(join(frames, closeFrame(closeNormal)))
			go w.end()
		},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, ", together") && differs(t, node, "events that come together with the goodbye are lost") {
				t.Skip("lost")
			}
			s := s.on(t)
			lost, late := 0, 0
			for i := range clients {
				tag := strings.ReplaceAll(s.tag(i)+name, " ", "-")
				leave(s, tag)
				s.eventually("it is gone", func() bool { return len(s.socket(tag).Disconnects) > 0 })
				seen := s.socket(tag)
				lost += each - seen.Handled
				late += seen.Late
			}
			t.Logf("handled after the disconnect: %d", late)
			faults(t, "events not handled before the disconnect", lost+late, clients*each)
		})
	}
}

// Client and server often part at the same time.
func TestDisconnectFiresOnce(t *testing.T) {
	s := start(t, func(set *setup) {
		set.onSocket = func(so *socket.Socket) {
			_ = so.On("disconnecting", func(...any) { time.Sleep(time.Millisecond) }) // who stores a session takes as long
		}
	})
	const n = 300
	tags := make([]string, n)
	conns := make([]*wsConn, n)
	for i := range n {
		tags[i] = s.tag(i)
		conns[i] = s.connectWS(tags[i])
	}
	var parting sync.WaitGroup
	for i, w := range conns {
		parting.Go(func() {
			_, _ = w.Write(join(textFrame(`42["kick"]`), closeFrame(closeNormal)))
			if i%3 == 0 {
				w.reset()
			}
		})
		if i%2 == 0 {
			parting.Go(func() {
				if res, err := s.client.Post(s.url("/kick/"+tags[i]), "", nil); err == nil {
					_ = res.Body.Close()
				}
			})
		}
	}
	parting.Wait()
	never, often := 0, 0
	until := time.Now().Add(deadline)
	for i, tag := range tags {
		for len(s.socket(tag).Disconnects) == 0 && time.Now().Before(until) {
			time.Sleep(5 * time.Millisecond)
		}
		_ = conns[i].Close()
	}
	for _, tag := range tags {
		switch n := len(s.socket(tag).Disconnects); {
		case n == 0:
			never++
		case n > 1:
			often++
		}
	}
	t.Logf("never: %d", never)
	faults(t, "disconnected never, or more than once", never+often, n)
}

// A PONG may be there before whoever wrote the PING gets round to waiting for it.
func TestPongBeforeTheServerWaitsForIt(t *testing.T) {
	inProcess(t)
	s := start(t, func(set *setup) {
		set.PingInterval, set.PingTimeout = 2*time.Second, 1500*time.Millisecond
		set.onSession = func(es engine.Socket) {
			answered := make(chan struct{}, 100)
			_ = es.On("heartbeat", func(...any) { answered <- struct{}{} })
			_ = es.On("drain", func(...any) {
				select { // a listener may take its time
				case <-answered:
				case <-time.After(time.Second):
				}
			})
		}
	})
	const n = 20
	conns := make([]*wsConn, n)
	for i := range conns {
		conns[i], _ = s.openWS()
	}
	gone := 0
	for _, w := range conns {
		require.Equal(t, "2", w.text())
		w.send("3")
	}
	for _, w := range conns {
		if f, err := w.read(); err != nil || string(f.payload) != "2" {
			gone++
		}
	}
	faults(t, "given up although they answered", gone, n)
}

func TestPongsOfManyClients(t *testing.T) {
	s := start(t, func(set *setup) { set.PingInterval, set.PingTimeout = 1200*time.Millisecond, time.Second })
	const n, rounds = 300, 2
	var gone, pongs atomic.Int64
	var clients sync.WaitGroup
	for range n {
		w, _ := s.openWS()
		clients.Go(func() {
			for range rounds {
				f, err := w.read()
				if err != nil || string(f.payload) != "2" {
					gone.Add(1)
					return
				}
				pongs.Add(1)
				_, _ = w.Write(textFrame("3"))
			}
			if f, err := w.read(); err != nil || string(f.payload) != "2" {
				gone.Add(1)
			}
		})
	}
	clients.Wait()
	faults(t, "given up although they answered", int(gone.Load()), int(pongs.Load()))
}

// Whoever is told of a session may take a moment before it listens.
func TestAnEarlyConnectIsNotLost(t *testing.T) {
	inProcess(t)
	s := start(t, func(set *setup) {
		set.onSession = func(engine.Socket) { time.Sleep(20 * time.Millisecond) }
	})
	requireEarlyConnects(t, s, 10)
}

func TestManyEarlyConnects(t *testing.T) { requireEarlyConnects(t, start(t, nil), 400) }

// requireEarlyConnects sends the CONNECT right behind the handshake, and an event right behind its answer.
func requireEarlyConnects(t *testing.T, s *server, n int) {
	t.Helper()
	lost := 0
	for i := range n {
		w := s.dialed(socketWS)
		w.write(textFrame(`40{"tag":"` + s.tag(i) + `"}`))
		if !w.earlyConnect() {
			lost++
		}
		w.reset()
	}
	faults(t, "early CONNECTs and events lost", lost, n)
}

// earlyConnect reads the handshake, the answer to a CONNECT, and the answer to an event sent at once after that.
func (w *wsConn) earlyConnect() bool {
	for _, want := range []string{`0{`, `40{`, `42["echo",1]`} {
		if err := w.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return false
		}
		f, err := readFrame(w.br)
		if err == nil && string(f.payload) == ready {
			f, err = readFrame(w.br)
		}
		if err != nil || !strings.HasPrefix(string(f.payload), want) {
			return false
		}
		if want == `40{` {
			_, _ = w.Write(textFrame(`42["echo",1]`))
		}
	}
	return true
}

// The writer of a CONNECT's answer may be held up when the client already sends its first event.
func TestAnEventRightBehindTheConnectDoesNotEndTheSession(t *testing.T) {
	inProcess(t)
	s := start(t, func(set *setup) {
		set.onSession = func(es engine.Socket) {
			_ = es.On("drain", func(...any) { time.Sleep(20 * time.Millisecond) })
		}
	})
	requireEarlyConnects(t, s, 10)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestAClientThatDoesNotReadIsNotKeptInMemory(t *testing.T) {
	inProcess(t)
	const sent, bound = 64 << 20, 8 << 20
	for name, open := range map[string]func(s *server) (sid string){
		"WebSocket": func(s *server) string {
			w, h := s.openWS()
			_ = w.SetReadBuffer(4096)
			w.send("4!burst 4096 16384")
			return h.SID
		},
		"polling": func(s *server) string {
			p, h := s.openPoll()
			_ = p.post("4!burst 4096 16384") // the server may have given it up when it answers
			return h.SID
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			before := heap()
			sid := open(s)
			closed := false
			for until := time.Now().Add(4 * time.Second); !closed && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
				closed = len(s.session(sid).Closes) > 0
			}
			kept := heap() - before
			for range 10 { // what the writing itself leaves behind is not kept
				kept = min(kept, heap()-before)
				time.Sleep(20 * time.Millisecond)
			}
			t.Logf("kept: %.1f of %d MiB; closed: %v", float64(kept)/(1<<20), sent>>20, closed)
			require.Less(t, kept, int64(bound))
			require.True(t, closed, "a client that is too slow is sent away")
		})
	}
}

func TestAClientThatStopsReadingIsGivenUp(t *testing.T) {
	onlyOurs(t, "StallTimeout")
	s := start(t, func(set *setup) {
		set.StallTimeout, set.MaxQueueBytes = 500*time.Millisecond, 64<<20
	})
	w, h := s.openWS()
	_ = w.SetReadBuffer(4096)
	w.send("4!burst 1000 16384")
	s.closedWith(h.SID, "transport error")
}

func TestTCPIsClosedAfterTheClientsCloseFrame(t *testing.T) {
	s := start(t, nil)
	// A connection that nobody holds is closed with the garbage, which is not to count as closing it.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const n = 200
	conns := make([]*wsConn, n)
	for i := range conns {
		conns[i], _ = s.openWS()
	}
	for _, w := range conns {
		w.write(closeFrame(closeNormal))
	}
	until := time.Now().Add(3 * time.Second)
	open := 0
	for _, w := range conns {
		_ = w.SetReadDeadline(until)
		_, err := io.Copy(io.Discard, w.br)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			open++
		}
	}
	faults(t, "left open after 3 s", open, n)
}

func text(s string) types.BufferInterface { return types.NewStringBufferString(s) }

func TestListenersMayWrite(t *testing.T) {
	inProcess(t)
	for _, event := range []string{"drain", "data", "packet", "message", "heartbeat", "flush", "packetCreate"} {
		t.Run(event, func(t *testing.T) {
			s := start(t, func(set *setup) {
				set.onSession = func(es engine.Socket) {
					var done atomic.Bool // a listener is called again by its own write
					_ = es.On(types.EventName(event), func(...any) {
						if done.CompareAndSwap(false, true) {
							es.Send(text("from a listener"), nil, nil)
						}
					})
				}
			})
			w, _ := s.openWS()
			w.send("4one")
			w.send("4two")
			require.NoError(t, w.SetReadDeadline(time.Now().Add(3*time.Second)))
			for seen := ""; !strings.Contains(seen, "4two"); {
				f, err := readFrame(w.br)
				require.NoError(t, err, "the session hangs")
				seen += string(f.payload)
			}
		})
	}
}

func TestListenersMayClose(t *testing.T) {
	inProcess(t)
	for _, event := range []string{"drain", "data", "packet", "close"} {
		for _, discard := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %v", event, discard), func(t *testing.T) {
				ended := make(chan struct{})
				var called atomic.Bool
				s := start(t, func(set *setup) {
					set.onSession = func(es engine.Socket) {
						_ = es.On(types.EventName(event), func(...any) {
							if called.CompareAndSwap(false, true) {
								es.Send(text("bye"), nil, nil)
								es.Close(discard)
								close(ended)
							}
						})
					}
				})
				w, h := s.openWS()
				w.write(join(textFrame("4one"), closeFrame(closeNormal)))
				w.ended()
				s.closedWith(h.SID, "forced close", "transport close")
				if !called.Load() {
					t.Skip("this engine has no such event")
				}
				select {
				case <-ended:
				case <-time.After(deadline):
					t.Fatal("the listener hangs")
				}
			})
		}
	}
}

// manyThreads lets goroutines interrupt each other anywhere, on however few cores.
func manyThreads(t *testing.T) {
	t.Helper()
	before := runtime.GOMAXPROCS(16)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func TestCloseWhileOthersWrite(t *testing.T) {
	inProcess(t)
	manyThreads(t)
	const n, writers, before = 300, 3, 20
	var hanging atomic.Int64
	var all sync.WaitGroup
	// part has several write, and then close meanwhile.
	part := func(es engine.Socket, write func()) {
		var work sync.WaitGroup
		var written atomic.Int64
		for range writers {
			work.Go(func() {
				for i := 0; i < 200 && es.ReadyState() == "open"; i++ {
					write()
					written.Add(1)
				}
			})
		}
		for range 2 {
			work.Go(func() {
				for written.Load() < before {
					runtime.Gosched()
				}
				es.Close(false)
			})
		}
		done := make(chan struct{})
		go func() { work.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(4 * time.Second):
			hanging.Add(1)
		}
	}
	s := start(t, func(set *setup) {
		set.onSocket = func(so *socket.Socket) {
			all.Go(func() { part(so.Conn(), func() { _ = so.Emit("x", 1) }) })
		}
		set.onSession = func(es engine.Socket) {
			_ = es.Once("data", func(args ...any) {
				if args[0].(types.BufferInterface).String() == "go" {
					all.Go(func() { part(es, func() { es.Send(text("x"), nil, nil) }) })
				}
			})
		}
	})
	var readers sync.WaitGroup
	for i := range n {
		raw, _ := s.openWS()
		raw.send("4go")
		readers.Go(func() { raw.end() })
		bound := s.dialed(socketWS)
		bound.send(`40{"tag":"` + s.tag(i) + `"}`)
		readers.Go(func() { bound.end() })
	}
	left := 0
	for until := time.Now().Add(deadline); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if left = s.sessions(); left == 0 {
			break
		}
	}
	all.Wait()
	t.Logf("writers hang: %d", hanging.Load())
	faults(t, "sessions hang or never end", int(hanging.Load())+left, 2*n)
	readers.Wait()
}

func TestNoSessionIsLeftByAResetDuringTheHandshake(t *testing.T) {
	manyThreads(t)
	s := start(t, func(set *setup) { set.UpgradeTimeout = time.Second })
	before := s.sessions()
	request := s.upgradeRequest(engineWS, "")
	const n, workers = 6000, 8
	var resets sync.WaitGroup
	for worker := range workers {
		resets.Go(func() {
			for i := worker; i < n; i += workers {
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					continue
				}
				_, _ = conn.Write(request)
				if i%2 == 0 { // the handshake is under way, or done
					_ = conn.SetReadDeadline(time.Now().Add(time.Duration(i%7) * 50 * time.Microsecond))
					_, _ = conn.Read(make([]byte, 1))
				}
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
			}
		})
	}
	resets.Wait()
	left := 0
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if left = s.sessions() - before; left <= 0 {
			break
		}
	}
	faults(t, "sessions left", max(0, left), n)
}
