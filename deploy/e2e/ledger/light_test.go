package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// gatewayOf plays the server's side of one connection after the other, as told; a line that begins with ">" is sent, any
// other expected.
func gatewayOf(t *testing.T, connections [][]string) (url string, cookies *[]string, done chan struct{}) {
	done = make(chan struct{})
	cookies = &[]string{}
	var turn atomic.Int32
	upgrader := websocket.Upgrader{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(turn.Add(1)) - 1
		if i >= len(connections) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		*cookies = append(*cookies, r.Header.Get("Cookie"))
		conn, err := upgrader.Upgrade(w, r, http.Header{"Set-Cookie": {"gateway_node=gw1; path=/; HttpOnly; SameSite=Lax"}})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for _, line := range connections[i] {
			if text, sent := strings.CutPrefix(line, ">"); sent {
				_ = conn.WriteMessage(websocket.TextMessage, []byte(text))
				continue
			}
			_, got, err := conn.ReadMessage()
			if err != nil || string(got) != line {
				t.Errorf("connection %d: %s (%v), not %s", i, got, err, line)
			}
		}
		if i == len(connections)-1 {
			close(done)
			_, _, _ = conn.ReadMessage() // until the client goes
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, cookies, done
}

func TestALightClientDoesAsTheOfficialOne(t *testing.T) {
	const open = `>0{"sid":"x","pingInterval":25000,"pingTimeout":20000}`
	p := person{user: "u", role: "client", solicitudes: []string{"s1", "s2"}}
	mine := token(p, time.Hour)
	url, cookies, done := gatewayOf(t, [][]string{
		{open, `40{"token":"` + mine + `"}`, `>44{"message":"no","data":{"code":"server_full"}}`},
		{
			open, `40{"token":"` + mine + `"}`, `>40{"sid":"a","pid":"p1"}`,
			`>42["connected",{"node":"gw1","user_id":"u","recovered":false},"1-0"]`,
			`421["subscribe_solicitud",{"solicitud_id":"s1"}]`, `422["subscribe_solicitud",{"solicitud_id":"s2"}]`,
			`>432[{"ok":true}]`, `>431[{"ok":true}]`, ">2", "3",
			`>42["user_joined",{"user_id":"v"}]`, `>42["oferta_created",{"n":0,"x":1},"7-0"]`,
		},
		{
			open, `40{"offset":"7-0","pid":"p1","token":"` + mine + `"}`, `>40{"sid":"b","pid":"p1"}`,
			`>42["connected",{"node":"gw2","user_id":"u","recovered":true},"7-0"]`,
			`>42["notificacion_read",{"n":1},"8-0"]`, ">41",
		},
		{open, `40{"offset":"8-0","pid":"p1","token":"` + mine + `"}`, `>40{"sid":"c","pid":"p2"}`, ">2", "3"},
	})
	f, err := startLight(fleetPlan{
		people: []person{p}, url: func(int) string { return url }, spread: time.Millisecond, begun: func() int { return 5 },
		options: map[string]any{"reconnectionDelay": 10, "reconnectionDelayMax": 20, "randomizationFactor": 1},
	})
	require.NoError(t, err)
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("not all connections were made")
	}
	require.NoError(t, f.stop())
	require.Equal(t, []string{"", "gateway_node=gw1", "gateway_node=gw1", "gateway_node=gw1"}, *cookies)
	c := f.records[0]
	require.Equal(t, []string{"refused: server_full no"}, c.refusals)
	require.Len(t, c.sessions, 2)
	first, second := c.sessions[0], c.sessions[1]
	require.False(t, first.recovered || first.said)
	require.True(t, second.recovered && second.said)
	require.Equal(t, []string{"gw1", "gw2", "transport close", "io server disconnect"}, []string{first.node, second.node, first.why, second.why})
	require.True(t, first.ready > 0 && second.ready > 0)
	require.Equal(t, []int{1, 1, 2}, []int{first.ended, second.received, second.ended})
	require.Equal(t, []int{0, 1}, []int{c.receipts[0].n, c.receipts[1].n})
	require.Equal(t, []int{kindOf("oferta"), kindOf("notificacion")}, []int{c.receipts[0].kind, c.receipts[1].kind})
}

func TestTheBackOffIsTheOfficialClients(t *testing.T) {
	for range 1000 {
		b := backoff{least: 2000, most: 4000, randomization: 1}
		require.LessOrEqual(t, b.next(), 4*time.Second)
		b = backoff{least: 1000, most: 5000}
		for _, want := range []string{"1s", "2s", "4s", "5s", "5s"} {
			require.Equal(t, want, b.next().String())
		}
	}
}

func TestLightClientsGoWithTheirFleet(t *testing.T) {
	f, err := startLight(fleetPlan{
		people: make([]person, 3), url: func(int) string { return "http://127.0.0.1:1" }, spread: time.Minute,
	})
	require.NoError(t, err)
	require.NoError(t, pause(context.Background(), time.Millisecond))
	require.NoError(t, f.stop())
}
