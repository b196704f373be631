package main

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNumberOfReadsEventsAndLogEntries(t *testing.T) {
	for text, want := range map[string]int{
		`{"n":7,"solicitud_id":"s"}`:                                         7,
		`{"opts":{"rooms":["a"]},"packet":{"type":2,"data":["e",{"n":12}]}}`: 12,
	} {
		n, ok := numberOf(map[string]any{"data": text})
		require.True(t, ok)
		require.Equal(t, want, n)
	}
	for _, values := range []map[string]any{{}, {"data": `{"opts":{}}`}, {"data": `"n":7`}} {
		_, ok := numberOf(values)
		require.False(t, ok, "%v", values)
	}
}

// echo answers whatever it is sent, until the test ends.
func echo(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func TestTheEdgeCutsOneClientAlone(t *testing.T) {
	e, err := startEdge(echo(t), make([]person, 2))
	require.NoError(t, err)
	defer e.stop()
	var conns []net.Conn
	for i := range 2 {
		conn, err := net.Dial("tcp", e.addr(i))
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		conns = append(conns, conn)
		talk(t, conn)
	}
	e.slots[0].cut(0)
	_, err = conns[0].Read(make([]byte, 1))
	require.Error(t, err)
	talk(t, conns[1])
}

func TestTheEdgeCarriesNothingWhileACutLasts(t *testing.T) {
	e, err := startEdge(echo(t), make([]person, 1))
	require.NoError(t, err)
	defer e.stop()
	e.slots[0].cut(time.Hour)
	conn, err := net.Dial("tcp", e.addr(0))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)

	e.slots[0].cut(0)
	again, err := net.Dial("tcp", e.addr(0))
	require.NoError(t, err)
	defer again.Close()
	require.NoError(t, again.SetDeadline(time.Now().Add(20*time.Second)))
	talk(t, again)
}

func TestTheEdgeFailsTheNextConnectionOfAClientThatPolls(t *testing.T) {
	e, err := startEdge(echo(t), []person{{polling: true}})
	require.NoError(t, err)
	defer e.stop()
	e.slots[0].cut(0)
	conn, err := net.Dial("tcp", e.addr(0))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)

	again, err := net.Dial("tcp", e.addr(0))
	require.NoError(t, err)
	defer again.Close()
	require.NoError(t, again.SetDeadline(time.Now().Add(20*time.Second)))
	talk(t, again)
}

func talk(t *testing.T, conn net.Conn) {
	_, err := conn.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(conn, make([]byte, 1))
	require.NoError(t, err)
}

func TestTheRelayDropsBetweenTwoAndCarriesBetweenOthers(t *testing.T) {
	ends := make([]*net.UDPConn, 3)
	var bound, ports []int
	for i := range ends {
		var err error
		ends[i], err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		require.NoError(t, err)
		defer ends[i].Close()
		require.NoError(t, ends[i].SetDeadline(time.Now().Add(20*time.Second)))
		bound = append(bound, ends[i].LocalAddr().(*net.UDPAddr).Port)
		port, err := freePort()
		require.NoError(t, err)
		ports = append(ports, port)
	}
	relay, err := startGossipRelay(ports, bound)
	require.NoError(t, err)
	defer relay.stop()
	send := func(from, to int, text string) {
		_, err := ends[from].WriteToUDP([]byte(text), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: ports[to]})
		require.NoError(t, err)
	}
	read := func(at int) (string, int) {
		buffer := make([]byte, 100)
		size, from, err := ends[at].ReadFromUDP(buffer)
		require.NoError(t, err)
		return string(buffer[:size]), from.Port
	}

	send(0, 1, "hello")
	text, from := read(1)
	require.Equal(t, "hello", text)
	require.Equal(t, ports[0], from, "an answer goes to where the sender is heard")

	relay.block(1, 0, true)
	send(0, 1, "dropped")
	send(2, 1, "carried")
	text, _ = read(1)
	require.Equal(t, "carried", text)

	relay.block(0, 1, false)
	send(0, 1, "again")
	text, _ = read(1)
	require.Equal(t, "again", text)
	require.Equal(t, 1, relay.drops())
}

func TestUntilGivesUpAndSaysWhy(t *testing.T) {
	err := until(context.Background(), "the impossible", time.Millisecond, func() error { return errUnwell })
	require.ErrorIs(t, err, errUnwell)
	require.ErrorContains(t, err, "the impossible")
}

func TestOnlyTheLogsReaderIsHeldBack(t *testing.T) {
	d, err := startLogDelay(echo(t))
	require.NoError(t, err)
	defer d.stop()
	const hold = 300 * time.Millisecond
	d.set(hold)
	for command, held := range map[string]bool{
		"*2\r\n$5\r\nxread\r\n$1\r\na\r\n": true, "*2\r\n$5\r\nXREAD\r\n$1\r\na\r\n": true,
		"*2\r\n$10\r\nxreadgroup\r\n$1\r\na\r\n": false, "*1\r\n$4\r\nping\r\n": false,
	} {
		conn, err := net.Dial("tcp", d.addr())
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		began := time.Now()
		for _, piece := range []string{command[:9], command[9:]} {
			_, err = conn.Write([]byte(piece))
			require.NoError(t, err)
		}
		_, err = io.ReadFull(conn, make([]byte, len(command)))
		require.NoError(t, err)
		if held {
			require.GreaterOrEqual(t, time.Since(began), hold, command)
		} else {
			require.Less(t, time.Since(began), hold, command)
		}
		require.NoError(t, conn.Close())
	}
}

func TestResumesAheadOfTheReaderAreFoundInALog(t *testing.T) {
	path := t.TempDir() + "/gw.log"
	line := func(offset, position string) string {
		return `{"level":"DEBUG","msg":"session recovered","nsp":"/","offset":"` + offset + `","position":"` + position + `","replayed":0}` + "\n"
	}
	text := line("5-0", "5-0") + line("5-1", "5-0") + `{"msg":"other"}` + "\n" + line("900-0", "200-7") + line("10-0", "9-0") + line("9-0", "10-0")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	count, most, err := resumedAhead(path)
	require.NoError(t, err)
	require.Equal(t, 3, count)
	require.EqualValues(t, 700, most)
}
