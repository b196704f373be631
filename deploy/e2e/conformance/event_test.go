package conformance

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEvents(t *testing.T) {
	s := start(t, nil)
	for name, args := range map[string]string{
		"no argument":               ``,
		"a string":                  `,"x"`,
		"an empty string":           `,""`,
		"several":                   `,1,"2",null,{"three":3}`,
		"numbers":                   `,0,-1,1.5,1e3,9007199254740991`,
		"true, false, null":         `,true,false,null`,
		"empty ones":                `,{},[],[[]],{"a":{}}`,
		"nested":                    `,{"a":[{"b":[{"c":[1,[2,[3]]]}]}]}`,
		"Unicode":                   `,"é€😀","\u00e9\ud83d\ude00"`,
		"line separators":           `,"\u2028\u2029\n\r\t"`,
		"escapes":                   `,"\"\\/\b\f","\u0000"`,
		"a separator":               `,"\u001e"`,
		"what looks like a packet":  `,"42[\"echo\"]","/custom,1[]","51-"`,
		"keys that objects have":    `,{"constructor":1,"toString":2,"length":3}`,
		"a placeholder":             `,{"_placeholder":false,"num":0}`,
		"50 kB":                     `,"` + strings.Repeat("x", 50_000) + `"`,
		"whitespace in the payload": ` , "x" , { "a" : 1 } `,
	} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.say(`2["echo"` + args + `]`)
				c.event(`["echo"` + args + `]`)
				c.alive("/")
			})
		})
	}
}

func TestEventsKeepTheirOrder(t *testing.T) {
	s := start(t, nil)
	overEachConnected(t, s, func(c *talker) {
		const n = 200
		for i := range n {
			c.say(fmt.Sprintf(`2["echo",%d]`, i))
		}
		for i := range n {
			c.event(fmt.Sprintf(`["echo",%d]`, i))
		}
	})
}

func TestEventsNobodyListensTo(t *testing.T) {
	s := start(t, nil)
	for name, event := range map[string]string{
		"a name": `["nobody",1]`, "an empty name": `[""]`, "a number": `[5,"x"]`, "a property of every object": `["__proto__"]`,
		"another": `["constructor"]`, "a method": `["toString"]`,
	} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.say("2" + event)
				c.say("23" + event)
				c.alive("/")
			})
		})
	}
}

func TestReservedEventsEndTheConnection(t *testing.T) {
	s := start(t, nil)
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.try(`2["` + name + `","x"]`)
				require.Empty(c.t, c.gone())
			})
		})
	}
}

func TestAcksOfTheServer(t *testing.T) {
	s := start(t, nil)
	for _, id := range []string{"0", "1", "9", "10", "12", "999", "1000", "123456789", "4294967296", "9007199254740991"} {
		t.Run("id "+id, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.say("2" + id + `["ask","x",1]`)
				c.expect('3', "/", id, `["x",1]`)
				c.say("2" + id + `["ask"]`) // an id may come again
				c.expect('3', "/", id, `[]`)
			})
		})
	}
	for name, args := range map[string]string{
		"nothing": ``, "null": `,null`, "several": `,1,"2",[3],{"four":4}`, "Unicode": `,"é€😀\u2028"`, "digits first": `,123,"45"`,
	} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.say(`27["ask"` + args + `]`)
				c.expect('3', "/", "7", "["+strings.TrimPrefix(args, ",")+"]")
			})
		})
	}
}

func TestAcksAreOnlySentIfAskedFor(t *testing.T) {
	s := start(t, nil)
	overEachConnected(t, s, func(c *talker) {
		c.say(`2["ask","x"]`)
		c.say(`25["silent","x"]`)
		c.alive("/")
	})
}

func TestAnAckIsSentOnce(t *testing.T) {
	s := start(t, nil)
	overEachConnected(t, s, func(c *talker) {
		c.say(`21["twice","x"]`)
		c.expect('3', "/", "1", `["x"]`)
		c.alive("/")
	})
}

func TestAcksMayComeLater(t *testing.T) {
	s := start(t, nil)
	overEachConnected(t, s, func(c *talker) {
		for i := range 12 {
			c.say(fmt.Sprintf(`2%d["later","n%d"]`, i, i))
		}
		c.alive("/")
		c.say(`2["now"]`)
		for i := range 12 {
			c.expect('3', "/", strconv.Itoa(i), fmt.Sprintf(`["n%d"]`, i))
		}
	})
}

// question requires an event "question" that asks for an ack, and returns its id.
func (c *talker) question(nsp, args string) (id string) {
	c.t.Helper()
	p := c.next()
	require.NotEmpty(c.t, p.id, "%+v", p)
	require.Equal(c.t, nsp, p.nsp)
	require.JSONEq(c.t, `["question"`+args+`]`, p.data)
	return p.id
}

func TestAcksOfTheClient(t *testing.T) {
	s := start(t, nil)
	for name, args := range map[string]string{
		"nothing": ``, "null": `null`, "several": `1,"2",[3],{"four":4}`, "Unicode": `"é€😀\u2028"`, "digits first": `123,"45"`,
	} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.say(`2["question","x"]`)
				id := c.question("/", `,"x"`)
				c.say("3" + id + "[" + args + "]")
				c.event(`["answer"` + strings.TrimSuffix(","+args, ",") + `]`)
			})
		})
	}
}

func TestManyQuestions(t *testing.T) {
	s := start(t, nil)
	overEachConnected(t, s, func(c *talker) {
		const n = 120 // so that ids have several digits
		c.say(fmt.Sprintf(`2["questions",%d]`, n))
		ids := make([]string, n)
		seen := map[string]bool{}
		for i := range ids {
			ids[i] = c.question("/", fmt.Sprintf(",%d", i))
			seen[ids[i]] = true
		}
		require.Len(c.t, seen, n)
		for i := n - 1; i >= 0; i -= 7 {
			c.say(fmt.Sprintf(`3%s["reply",%d]`, ids[i], i))
			c.event(fmt.Sprintf(`["answer",%d,"reply",%d]`, i, i))
		}
	})
}

func TestAcksThatFitNothing(t *testing.T) {
	s := start(t, nil)
	t.Run("an unknown id", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.say(`3999999[]`)
			c.say(`39007199254740991["x"]`)
			c.alive("/")
		})
	})
	t.Run("no id", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.say(`3["x"]`)
			c.alive("/")
		})
	})
	t.Run("a second time", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.say(`2["question"]`)
			id := c.question("/", "")
			c.say("3" + id + `["first"]`)
			c.say("3" + id + `["second"]`)
			c.event(`["answer","first"]`)
			c.alive("/")
		})
	})
	t.Run("another namespace's", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.connect(customNamespace, "")
			c.say(`2["question"]`)
			id := c.question("/", "")
			c.say("3/custom," + id + `["wrong"]`)
			c.alive(customNamespace)
			c.say("3" + id + `["right"]`)
			c.event(`["answer","right"]`)
		})
	})
	t.Run("a binary one", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.say(`61-999999[{"_placeholder":true,"num":0}]`, []byte{1})
			c.alive("/")
		})
	})
	t.Run("too late", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.say(`2["impatient",50]`)
			id := c.question("/", "")
			c.event(`["answer","timeout"]`)
			c.say("3" + id + `["late"]`)
			c.alive("/")
		})
	})
	t.Run("in time", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.say(`2["impatient",20000]`)
			c.say("3" + c.question("/", "") + `["soon"]`)
			c.event(`["answer","soon"]`)
			c.alive("/")
		})
	})
}

func TestAcksOfANamespace(t *testing.T) {
	s := start(t, nil)
	overEach(t, s, func(c *talker) {
		c.connect(customNamespace, "")
		c.say(`2/custom,13["ask","x"]`)
		c.expect('3', customNamespace, "13", `["x"]`)
		c.say(`2/custom,["question","x"]`)
		c.say("3/custom," + c.question(customNamespace, `,"x"`) + `["y"]`)
		c.expect('2', customNamespace, "", `["answer","y"]`)
	})
}
