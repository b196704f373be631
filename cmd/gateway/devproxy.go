package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// devCookie names the node that a browser was sent to; HAProxy's cookie does the same in production.
const devCookie = "gateway_node"

// stickyProxy spreads clients over the nodes of `gateway dev` and keeps each with its node.
type stickyProxy struct {
	nodes []*httputil.ReverseProxy
	next  atomic.Uint64
}

var _ http.Handler = (*stickyProxy)(nil)

func newStickyProxy(addrs []string) *stickyProxy {
	p := &stickyProxy{}
	for _, addr := range addrs {
		target := &url.URL{Scheme: "http", Host: addr}
		p.nodes = append(p.nodes, &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.SetXForwarded()
				// Host stays: the nodes compare it with Origin.
				r.Out.Host = r.In.Host
			},
			FlushInterval: -1,
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
				http.Error(w, "the node is gone", http.StatusBadGateway)
			},
		})
	}
	return p
}

// ServeHTTP sends r to the node of its cookie, else to the next.
func (p *stickyProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i, ok := p.chosen(r)
	if !ok {
		i = int(p.next.Add(1) % uint64(len(p.nodes)))
		//nolint:gosec // not Secure: a demonstration is served without TLS
		http.SetCookie(w, &http.Cookie{
			Name: devCookie, Value: strconv.Itoa(i), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
			MaxAge: int(time.Hour / time.Second),
		})
	}
	p.nodes[i].ServeHTTP(w, r)
}

func (p *stickyProxy) chosen(r *http.Request) (int, bool) {
	c, err := r.Cookie(devCookie)
	if err != nil {
		return 0, false
	}
	i, err := strconv.Atoi(c.Value)
	return i, err == nil && i >= 0 && i < len(p.nodes)
}
