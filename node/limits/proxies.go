package limits

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ErrProxies is a list of proxies that cannot be used.
var ErrProxies = errors.New("not a list of proxies")

// proxyWords stand for the networks that they name.
var proxyWords = map[string][]netip.Prefix{
	"loopback": {netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	"private": {
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("fc00::/7"),
	},
}

// ParseProxies reads a comma-separated list of addresses, networks in CIDR notation and the words loopback and private.
// Spaces and empty entries do not count. The error is ErrProxies, and says what is wrong.
func ParseProxies(list string) ([]netip.Prefix, error) {
	var proxies []netip.Prefix
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		if word, ok := proxyWords[strings.ToLower(entry)]; ok {
			proxies = append(proxies, word...)
			continue
		}
		p, err := parseProxy(entry)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrProxies, err)
		}
		proxies = append(proxies, p)
	}
	return proxies, nil
}

func parseProxy(entry string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(entry); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%s has a zone", addr)
		}
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(entry)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%.64q is no address, no network, and neither loopback nor private", entry)
	}
	return proxyPrefix(p)
}

// proxyPrefix returns p as addresses are compared with it, or why it cannot be trusted.
func proxyPrefix(p netip.Prefix) (netip.Prefix, error) {
	const mapped = 96 // bits before an IPv4 address in IPv6
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	switch {
	case !p.IsValid():
		return p, errors.New("it is no network")
	case p.Bits() == 0:
		return p, fmt.Errorf("%s trusts everybody, so that each client says itself who it is", p)
	case p != p.Masked():
		return p, fmt.Errorf("%s has bits set behind its mask; %s is meant", p, p.Masked())
	}
	return p, nil
}

const (
	// maxHops is how many proxies a request may have come through.
	maxHops = 32
	// maxHop bounds one entry of X-Forwarded-For, in bytes: the longest address, a port and some space.
	maxHop = 96
)

// ClientAddr returns who sent the request: the peer, or if that is a trusted proxy, the last address in
// X-Forwarded-For that is not one. What a client claims stands before that and is never believed. Where the header
// cannot be read it is the last trusted proxy. IPv4 in IPv6 is IPv4, zones are left out. The result is not valid if the
// request has no peer's address.
func ClientAddr(r *http.Request, proxies []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	hop := plain(peer.Addr())
	if !trusted(hop, proxies) {
		return hop
	}
	lines, hops := r.Header["X-Forwarded-For"], 0
	for _, line := range slices.Backward(lines) {
		for rest, more := line, true; more; {
			var entry string
			rest, entry, more = cutLast(rest)
			before, ok := parseHop(entry)
			if hops++; !ok || hops > maxHops {
				return hop
			}
			if hop = before; !trusted(hop, proxies) {
				return hop
			}
		}
	}
	return hop
}

// cutLast splits the last entry off a line; more is false if there is no other. An entry that is too long is cut, which
// makes it malformed.
func cutLast(line string) (rest, last string, more bool) {
	tail := line[max(0, len(line)-maxHop):]
	comma := strings.LastIndexByte(tail, ',')
	if comma < 0 {
		if len(tail) < len(line) {
			return "", "", false
		}
		return "", line, false
	}
	return line[:len(line)-len(tail)+comma], tail[comma+1:], true
}

// parseHop reads an address, which some proxies give a port or brackets.
func parseHop(entry string) (netip.Addr, bool) {
	entry = strings.Trim(entry, " \t")
	if entry == "" {
		return netip.Addr{}, false
	}
	last := entry[len(entry)-1]
	if entry[0] == '[' && last == ']' {
		entry = entry[1 : len(entry)-1]
	} else if entry[0] == '[' || strings.Count(entry, ":") == 1 {
		withPort, err := netip.ParseAddrPort(entry)
		return plain(withPort.Addr()), err == nil
	}
	addr, err := netip.ParseAddr(entry)
	return plain(addr), err == nil
}

// plain makes equal what is one host: by its zone, an address could be written in any number of ways.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

func trusted(addr netip.Addr, proxies []netip.Prefix) bool {
	for _, p := range proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Group returns what addr counts as: itself, or of IPv6 its /64, which is what one customer has at least.
func Group(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	network, _ := addr.Prefix(64) // an IPv6 address has 64 bits
	return network.Addr()
}
