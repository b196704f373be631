package conformance

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func bin(data []byte) string { return `"bin:` + base64.StdEncoding.EncodeToString(data) + `"` }

// at is the placeholder of the i-th attachment.
func at(i int) string { return fmt.Sprintf(`{"_placeholder":true,"num":%d}`, i) }

func everyByte() (b []byte) {
	for i := range 256 {
		b = append(b, byte(i))
	}
	return b
}

var (
	one, two, three = []byte{1}, []byte{2, 2}, []byte{3, 3, 3}
	ten             = [][]byte{one, two, three, one, two, three, one, two, three, {}}
)

func TestBinaryEvents(t *testing.T) {
	s := start(t, nil)
	for name, e := range map[string]struct {
		args        string
		attachments [][]byte
		want        string
	}{
		"one":                             {at(0), [][]byte{{1, 2, 3, 4}}, bin([]byte{1, 2, 3, 4})},
		"several":                         {at(0) + "," + at(1) + "," + at(2), [][]byte{one, two, three}, bin(one) + "," + bin(two) + "," + bin(three)},
		"among others":                    {`"a",` + at(0) + `,1,null,` + at(1), [][]byte{one, two}, `"a",` + bin(one) + `,1,null,` + bin(two)},
		"in an object":                    {`{"a":` + at(0) + `,"b":"c"}`, [][]byte{one}, `{"a":` + bin(one) + `,"b":"c"}`},
		"in an array":                     {`[` + at(0) + `,[` + at(1) + `]]`, [][]byte{one, two}, `[` + bin(one) + `,[` + bin(two) + `]]`},
		"nested deeply":                   {`{"a":[{"b":{"c":[` + at(0) + `]}}],"d":` + at(1) + `}`, [][]byte{one, two}, `{"a":[{"b":{"c":[` + bin(one) + `]}}],"d":` + bin(two) + `}`},
		"in another order":                {at(2) + "," + at(0) + "," + at(1), [][]byte{one, two, three}, bin(three) + "," + bin(one) + "," + bin(two)},
		"one that has no place":           {at(1), [][]byte{one, two}, bin(two)},
		"empty":                           {at(0), [][]byte{{}}, bin(nil)},
		"every byte":                      {at(0), [][]byte{everyByte()}, bin(everyByte())},
		"what looks like a packet":        {at(0) + "," + at(1), [][]byte{[]byte(`42["echo"]`), []byte("b4")}, bin([]byte(`42["echo"]`)) + "," + bin([]byte("b4"))},
		"50 kB":                           {at(0), [][]byte{bytes.Repeat([]byte{0x80}, 50_000)}, bin(bytes.Repeat([]byte{0x80}, 50_000))},
		"ten":                             {"[" + at(0) + "," + at(9) + "]", ten, "[" + bin(one) + "," + bin(nil) + "]"},
		"beside what is like placeholder": {at(0) + `,{"_placeholder":false,"num":0}`, [][]byte{one}, bin(one) + `,{"_placeholder":false,"num":0}`},
	} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.say(fmt.Sprintf(`5%d-["echo",%s]`, len(e.attachments), e.args), e.attachments...)
				c.event(`["echo",` + e.want + `]`)
				c.alive("/")
			})
		})
	}
}

func TestOneAttachmentInTwoPlaces(t *testing.T) {
	s := start(t, nil)
	overEachConnected(t, s, func(c *talker) {
		c.say(`51-["echo",`+at(0)+`,`+at(0)+`]`, one)
		second := bin(one)
		if *engineName != node {
			differs(c.t, ours, "an attachment that stands in two places is empty in the second")
			second = bin(nil)
		}
		c.event(`["echo",` + bin(one) + `,` + second + `]`)
		c.alive("/")
	})
}

func TestBinaryFromTheServer(t *testing.T) {
	s := start(t, nil)
	for _, size := range []int{0, 1, 200, 70_000} {
		for _, n := range []int{1, 3, 12} {
			t.Run(fmt.Sprintf("%d of %d bytes", n, size), func(t *testing.T) {
				overEachConnected(t, s.on(t), func(c *talker) {
					c.say(fmt.Sprintf(`2["blobs",%d,%d]`, n, size))
					want := []string{`"blobs"`}
					for i := range n {
						want = append(want, bin(bytes.Repeat([]byte{byte(i)}, size)))
					}
					c.event("[" + strings.Join(want, ",") + "]")
					c.alive("/")
				})
			})
		}
	}
}

func TestBinaryAcks(t *testing.T) {
	s := start(t, nil)
	t.Run("of the server", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			for _, id := range []string{"0", "14", "123456"} {
				c.say(`52-`+id+`["ask",`+at(0)+`,{"a":`+at(1)+`}]`, one, two)
				c.expect('6', "/", id, `[`+bin(one)+`,{"a":`+bin(two)+`}]`)
			}
		})
	})
	t.Run("of the server, without binary", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.say(`51-14["ask","x",[]]`, one)
			c.expect('3', "/", "14", `["x",[]]`)
		})
	})
	t.Run("of the server, in a namespace", func(t *testing.T) {
		overEach(t, s.on(t), func(c *talker) {
			c.connect(customNamespace, "")
			c.say(`51-/custom,14["ask",`+at(0)+`]`, one)
			c.expect('6', customNamespace, "14", `[`+bin(one)+`]`)
		})
	})
	t.Run("of the client", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.say(`2["question","x"]`)
			id := c.question("/", `,"x"`)
			c.say(`62-`+id+`["bar",`+at(0)+`,[`+at(1)+`]]`, one, two)
			c.event(`["answer","bar",` + bin(one) + `,[` + bin(two) + `]]`)
		})
	})
	t.Run("of the client, to a binary event", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.say(`51-["question",`+at(0)+`]`, three)
			id := c.question("/", `,`+bin(three))
			c.say("3" + id + `["plain"]`)
			c.event(`["answer","plain"]`)
		})
	})
	t.Run("of the client, in a namespace", func(t *testing.T) {
		overEach(t, s.on(t), func(c *talker) {
			c.connect(customNamespace, "")
			c.say(`2/custom,["question"]`)
			id := c.question(customNamespace, "")
			c.say(`61-/custom,`+id+`[`+at(0)+`]`, one)
			c.expect('5', customNamespace, "", `["answer",`+bin(one)+`]`)
		})
	})
}

func TestBinaryAndTextKeepTheirOrder(t *testing.T) {
	s := start(t, nil)
	overEachConnected(t, s, func(c *talker) {
		for i := range 60 {
			if i%3 == 0 {
				c.say(fmt.Sprintf(`52-["echo",%d,%s,%s]`, i, at(0), at(1)), []byte{byte(i)}, two)
			} else {
				c.say(fmt.Sprintf(`2["echo",%d]`, i))
			}
		}
		for i := range 60 {
			if i%3 == 0 {
				c.event(fmt.Sprintf(`["echo",%d,%s,%s]`, i, bin([]byte{byte(i)}), bin(two)))
			} else {
				c.event(fmt.Sprintf(`["echo",%d]`, i))
			}
		}
	})
}

// What is sent while a client changes its transport is neither lost nor torn from its attachments.
func TestBinaryAcrossAnUpgrade(t *testing.T) {
	s := start(t, nil)
	c := carriers["polling"](s)
	c.connect("/", "")
	ask := func(i int) { c.say(fmt.Sprintf(`52-%d["ask",%s,%s]`, i, at(0), at(1)), []byte{byte(i)}, two) }
	for i := range 20 {
		ask(i)
	}
	w := c.p.probe()
	for i := range 20 {
		ask(20 + i)
	}
	w.send("5")
	c.eventually("it is upgraded", func() bool { return s.session(c.sid).Transport == "websocket" })
	c.w = w
	for i := range 20 {
		ask(40 + i)
	}
	for i := range 60 {
		c.expect('6', "/", strconv.Itoa(i), `[`+bin([]byte{byte(i)})+`,`+bin(two)+`]`)
	}
	require.Empty(t, c.got)
}
