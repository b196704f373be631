package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConnect(t *testing.T) {
	s := start(t, nil)
	t.Run("to the main namespace", func(t *testing.T) {
		overEach(t, s.on(t), func(c *talker) {
			id := c.connect("/", "")
			require.NotEqual(c.t, c.sid, id, "a socket's id is not its connection's, which is a secret")
			c.alive("/")
		})
	})
	t.Run("to the main namespace, which is named", func(t *testing.T) {
		overEach(t, s.on(t), func(c *talker) {
			c.say("0/,")
			c.connected("/")
			c.expect('2', "/", "", `["ready"]`)
			c.alive("/")
		})
	})
	t.Run("without a comma behind the namespace", func(t *testing.T) {
		overEach(t, s.on(t), func(c *talker) {
			c.say("0/custom")
			c.connected(customNamespace)
			c.expect('2', customNamespace, "", `["ready"]`)
			c.alive(customNamespace)
		})
	})
}

func TestConnectPayload(t *testing.T) {
	s := start(t, nil)
	for name, auth := range map[string]string{
		"empty":   `{}`,
		"a token": `{"token":"123"}`,
		"nested":  `{"a":{"b":[1,null,true,{"c":"d"}]}}`,
		"Unicode": `{"é":"€😀\u2028"}`,
		"a comma": `{"a,b":"/custom,{}"}`,
	} {
		t.Run(name, func(t *testing.T) {
			overEach(t, s.on(t), func(c *talker) {
				c.connect(customNamespace, auth)
				c.say(`2/custom,["auth"]`)
				c.expect('2', customNamespace, "", `["auth",`+auth+`]`)
			})
		})
	}
}

func TestConnectIsAsked(t *testing.T) {
	s := start(t, nil)
	for name, first := range map[string]string{
		"an event":         `2["echo","early"]`,
		"an ack":           `31[]`,
		"a disconnect":     `1`,
		"a connect error":  `4{"message":"x"}`,
		"another's event":  `2/custom,["echo","early"]`,
		"an unknown one's": `2/nowhere,["echo","early"]`,
	} {
		t.Run(name, func(t *testing.T) {
			overEach(t, s.on(t), func(c *talker) {
				c.try(first)
				require.Empty(c.t, c.gone())
			})
		})
	}
	t.Run("a binary event", func(t *testing.T) {
		overEach(t, s.on(t), func(c *talker) {
			c.try(`51-["echo",{"_placeholder":true,"num":0}]`, []byte{1})
			require.Empty(c.t, c.gone())
		})
	})
}

func TestConnectInTime(t *testing.T) {
	s := start(t, func(set *setup) { set.ConnectTimeout = 300 * time.Millisecond })
	t.Run("nothing", func(t *testing.T) {
		began := time.Now()
		overEach(t, s.on(t), func(c *talker) {
			require.Empty(c.t, c.gone())
			require.GreaterOrEqual(c.t, time.Since(began), s.ConnectTimeout-early)
		})
	})
	t.Run("refused alone", func(t *testing.T) {
		overEach(t, s.on(t), func(c *talker) {
			c.say("0/nowhere,")
			c.expect('4', "/nowhere", "", `{"message":"Invalid namespace"}`)
			require.Empty(c.t, c.gone())
		})
	})
	t.Run("connected", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			for began := time.Now(); time.Since(began) < s.ConnectTimeout+50*time.Millisecond; {
				c.alive("/")
			}
		})
	})
}

func TestConnectTwice(t *testing.T) {
	s := start(t, nil)
	overEachConnected(t, s, func(c *talker) {
		c.try("0")
		require.Empty(c.t, c.gone())
	})
}

func TestConnectErrors(t *testing.T) {
	s := start(t, nil)
	for name, e := range map[string]struct{ nsp, auth, want string }{
		"with data":                         {"/", `{"refuse":"with data"}`, `{"message":"refused","data":{"code":"no","nested":{"é":true}}}`},
		"without":                           {"/", `{"refuse":"plain"}`, `{"message":"refused"}`},
		"of a namespace":                    {lockedNamespace, "", `{"message":"locked","data":{"code":"locked","retry":[1,null]}}`},
		"of a namespace that asks for auth": {customNamespace, `{"refuse":"with data"}`, `{"message":"refused","data":{"code":"no","nested":{"é":true}}}`},
		"an unknown namespace":              {"/nowhere", "", `{"message":"Invalid namespace"}`},
		"an unknown namespace, with auth":   {"/nowhere", `{"token":"1"}`, `{"message":"Invalid namespace"}`},
		"a known one's beginning":           {"/cust", "", `{"message":"Invalid namespace"}`},
		"a known one and more":              {"/custom2", "", `{"message":"Invalid namespace"}`},
		"letters of another case":           {"/Custom", "", `{"message":"Invalid namespace"}`},
		"a dynamic one that does not match": {"/dynamic-x", "", `{"message":"Invalid namespace"}`},
		"a property of every object":        {"/__proto__", "", `{"message":"Invalid namespace"}`},
	} {
		t.Run(name, func(t *testing.T) {
			overEach(t, s.on(t), func(c *talker) {
				c.say("0" + to(e.nsp) + e.auth)
				if want := e.want; want == `{"message":"refused"}` && *engineName != node {
					differs(c.t, ours, "a connect error without data says `data: null` (the gateway's own always have data)")
					e.want = `{"message":"refused","data":null}`
				}
				c.expect('4', e.nsp, "", e.want)
				c.connect("/", "") // the connection is as good as before
				c.alive("/")
			})
		})
	}
}

func TestARefusedSocketIsNotServed(t *testing.T) {
	s := start(t, nil)
	overEach(t, s, func(c *talker) {
		c.say("0/locked,")
		c.expect('4', lockedNamespace, "", `{"message":"locked","data":{"code":"locked","retry":[1,null]}}`)
		c.try(`2/locked,["echo","x"]`)
		require.Empty(c.t, c.gone())
	})
}

func TestConnectErrorsOfTheClient(t *testing.T) {
	s := start(t, nil)
	for name, text := range map[string]string{"an object": `4{"message":"x"}`, "a string": `4"x"`} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.try(text)
				require.Empty(c.t, c.gone())
			})
		})
	}
}
