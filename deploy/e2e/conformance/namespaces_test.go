package conformance

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var all = []string{"/", customNamespace, "/dynamic-1", "/dynamic-22"}

func TestNamespacesShareAConnection(t *testing.T) {
	s := start(t, nil)
	overEach(t, s, func(c *talker) {
		ids := map[string]bool{}
		for _, nsp := range all {
			ids[c.connect(nsp, "")] = true
		}
		require.Len(c.t, ids, len(all), "a socket of its own in each")
		for _, nsp := range all {
			c.say("2" + to(nsp) + `["echo","` + nsp + `"]`)
			c.expect('2', nsp, "", `["echo","`+nsp+`"]`)
		}
		for _, nsp := range all { // the ids of acks are each namespace's own
			c.say("2" + to(nsp) + `7["ask","` + nsp + `"]`)
			c.expect('3', nsp, "7", `["`+nsp+`"]`)
		}
		for _, nsp := range all {
			c.say("51-"+to(nsp)+`["echo",{"_placeholder":true,"num":0}]`, []byte(nsp))
			p := c.next()
			require.Equal(c.t, nsp, p.nsp)
			require.Equal(c.t, 1, p.attachments)
		}
	})
}

func TestConnectsTogether(t *testing.T) {
	s := start(t, nil)
	overEach(t, s, func(c *talker) {
		for _, nsp := range all {
			c.say("0" + to(nsp))
		}
		seen := map[string][]byte{}
		for range 2 * len(all) {
			p := c.next()
			seen[p.nsp] = append(seen[p.nsp], p.kind)
		}
		for _, nsp := range all {
			require.Equal(c.t, "02", string(seen[nsp]), nsp)
		}
	})
}

func TestANamespaceWithoutTheMainOne(t *testing.T) {
	s := start(t, nil)
	overEach(t, s, func(c *talker) {
		c.connect(customNamespace, "")
		c.alive(customNamespace)
		c.try(`2["echo","x"]`)
		require.Empty(c.t, c.gone(), "nobody is in the main namespace unasked")
	})
}

func TestARefusalLeavesTheOtherNamespaces(t *testing.T) {
	s := start(t, nil)
	for name, nsp := range map[string]string{"refused": lockedNamespace, "unknown": "/nowhere"} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.say("0" + to(nsp))
				require.Equal(c.t, byte('4'), c.next().kind)
				c.alive("/")
			})
		})
	}
}

func TestLeavingANamespace(t *testing.T) {
	s := start(t, nil)
	for name, nsp := range map[string]string{"the main one": "/", "a custom one": customNamespace, "a dynamic one": "/dynamic-1"} {
		t.Run(name, func(t *testing.T) {
			overEach(t, s.on(t), func(c *talker) {
				tag := c.tag(0)
				before := map[string]string{}
				for _, each := range all {
					auth := ""
					if each == nsp {
						auth = `{"tag":"` + tag + `"}`
					}
					before[each] = c.connect(each, auth)
				}
				c.say("1" + to(nsp))
				c.eventually("it has left", func() bool {
					return slices.Equal(c.socket(tag).Disconnects, []string{"client namespace disconnect"})
				})
				for _, each := range all {
					if each != nsp {
						c.alive(each) // and nothing was answered
					}
				}
				require.NotEqual(c.t, before[nsp], c.connect(nsp, ""))
				c.alive(nsp)
			})
		})
	}
}

func TestEventsBehindALeaveEndTheConnection(t *testing.T) {
	s := start(t, nil)
	overEach(t, s, func(c *talker) {
		tag := c.tag(0)
		c.connect("/", "")
		c.connect(customNamespace, `{"tag":"`+tag+`"}`)
		c.say("1/custom,")
		c.eventually("it has left", func() bool { return len(c.socket(tag).Disconnects) > 0 })
		c.try(`2/custom,["echo","x"]`)
		require.Empty(c.t, c.gone())
	})
}

func TestTheLastNamespaceLeft(t *testing.T) {
	s := start(t, nil)
	overEachConnected(t, s, func(c *talker) {
		c.say("1")
		c.connect(customNamespace, "") // the connection waits for another
		c.alive(customNamespace)
	})
}

func TestTheServerEndsANamespace(t *testing.T) {
	s := start(t, nil)
	for name, nsp := range map[string]string{"the main one": "/", "a custom one": customNamespace} {
		t.Run(name, func(t *testing.T) {
			overEach(t, s.on(t), func(c *talker) {
				tag := c.tag(0)
				for _, each := range all {
					auth := ""
					if each == nsp {
						auth = `{"tag":"` + tag + `"}`
					}
					c.connect(each, auth)
				}
				c.say("2" + to(nsp) + `["leave"]`)
				c.expect('1', nsp, "", "")
				// A client may hear of it before the server is done, where these are not one thread.
				c.eventually("it is done", func() bool {
					return slices.Equal(c.socket(tag).Disconnects, []string{"server namespace disconnect"})
				})
				for _, each := range all {
					if each != nsp {
						c.alive(each)
					}
				}
				c.connect(nsp, "")
			})
		})
	}
}

func TestTheServerEndsAllNamespaces(t *testing.T) {
	s := start(t, nil)
	overEach(t, s, func(c *talker) {
		for _, nsp := range all {
			c.connect(nsp, "")
		}
		c.say(`2["kick"]`)
		packets := c.gone()
		want := []string{}
		for _, nsp := range all {
			want = append(want, "41"+to(nsp))
		}
		require.ElementsMatch(c.t, want, packets)
	})
}

func TestBroadcastsStayInTheirNamespace(t *testing.T) {
	s := start(t, nil)
	overEach(t, s, func(c *talker) {
		other := carriers["WebSocket"](c.server)
		for _, nsp := range []string{"/dynamic-7", "/dynamic-8"} {
			c.connect(nsp, "")
			other.connect(nsp, "")
		}
		c.say(`51-/dynamic-7,["shout","hello",{"_placeholder":true,"num":0}]`, []byte{1, 2, 3})
		for _, listener := range []*talker{c, other} {
			listener.expect('5', "/dynamic-7", "", `["shout","hello","bin:AQID"]`)
			listener.alive("/dynamic-8")
			listener.alive("/dynamic-7")
			require.Empty(c.t, listener.got)
		}
	})
}
