package conformance

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMalformedPacketsEndTheConnection(t *testing.T) {
	s := start(t, nil)
	for name, text := range map[string]string{
		"nothing":                          ``,
		"an unknown type":                  `7`,
		"another":                          `9["echo"]`,
		"a letter":                         `abc`,
		"JSON alone":                       `["echo"]`,
		"an event with an object":          `2{}`,
		"an event with a string":           `2"echo"`,
		"an event with null":               `2null`,
		"an event of nothing":              `2[]`,
		"an event whose name is null":      `2[null]`,
		"an event whose name is an object": `2[{}]`,
		"an event whose name is an array":  `2[["echo"]]`,
		"an event whose name is true":      `2[true]`,
		"an event without an end":          `2["echo"`,
		"an event with a comma too many":   `2["echo",]`,
		"single quotes":                    `2['echo']`,
		"no JSON number":                   `2["echo",NaN]`,
		"a leading zero":                   `2["echo",01]`,
		"a control character":              "2[\"echo\",\"\n\"]",
		"a negative id":                    `2-1["echo"]`,
		"an id with a letter":              `21a["echo"]`,
		"an ack with an object":            `31{}`,
		"an ack with a string":             `31"x"`,
		"an ack with null":                 `31null`,
		"an ack without an end":            `31[`,
		"a connect with an array":          `0/dynamic-5,[1]`,
		"a connect with a string":          `0/dynamic-5,"x"`,
		"a connect with null":              `0/dynamic-5,null`,
		"more behind the payload":          `2["echo"]x`,
		"two payloads":                     `2["echo"]["echo"]`,
		"a connect without an end":         `0/dynamic-5,{`,
		"a disconnect with a payload":      `1{"a":1}`,
		"an event of a foreign namespace":  `2/dynamic-5,["echo"]`,
		"a disconnect from a foreign one":  `1/dynamic-5,`,
		"an ack of a foreign namespace":    `3/dynamic-5,1[]`,
		"no number of attachments":         `5["echo"]`,
		"an empty number of attachments":   `5-["echo"]`,
		"a letter for attachments":         `5x-["echo"]`,
		"a negative number of attachments": `5-1-["echo"]`,
		"half an attachment":               `51.5-["echo"]`,
		"no attachments at all":            `50-["echo"]`,
		"too many attachments":             `511-["echo"]`,
		"far too many attachments":         `599999999999-["echo"]`,
		"attachments without a payload":    `51-{}`,
		"a binary ack without a number":    `61["x"]`,
		"a binary ack with an object":      `61-1{}`,
	} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.say(`2["echo","before"]`)
				c.event(`["echo","before"]`)
				c.try(text)
				require.Empty(c.t, c.gone())
			})
		})
	}
}

// The protocol says that the payload is mandatory.
func TestPacketsWithoutTheirPayload(t *testing.T) {
	s := start(t, nil)
	for name, text := range map[string]string{"an event": `2`, "an ack": `31`} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.try(text)
				if differs(c.t, node, "an event or ack without a payload is ignored") {
					c.alive("/")
					return
				}
				require.Empty(c.t, c.gone())
			})
		})
	}
}

func TestMalformedAttachmentsEndTheConnection(t *testing.T) {
	s := start(t, nil)
	for name, m := range map[string]struct {
		text        string
		attachments [][]byte
	}{
		"more than said":              {`51-["silent",` + at(0) + `]`, [][]byte{one, two}},
		"without an announcement":     {`2["silent"]`, [][]byte{one}},
		"a place that there is not":   {`51-["silent",` + at(1) + `]`, [][]byte{one}},
		"a place in a foreign packet": {`51-/dynamic-5,["silent",` + at(0) + `]`, [][]byte{one}},
	} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.try(m.text, m.attachments...)
				require.Empty(c.t, c.gone())
			})
		})
	}
	for name, place := range map[string]string{
		"a negative place":         at(-1),
		"a place that is a string": `{"_placeholder":true,"num":"0"}`,
		"a place that is not said": `{"_placeholder":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			overEachConnected(t, s.on(t), func(c *talker) {
				c.try(`51-["echo",`+place+`]`, one)
				if differs(c.t, ours, "a placeholder whose number is negative or none is an object like any other") {
					c.event(`["echo",` + place + `]`)
					return
				}
				require.Empty(c.t, c.gone())
			})
		})
	}
	t.Run("text in their place", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.say(`52-["echo",`+at(0)+`,`+at(1)+`]`, one)
			c.try(`2["echo","x"]`)
			require.Empty(c.t, c.gone())
		})
	})
	t.Run("another packet's in their place", func(t *testing.T) {
		overEachConnected(t, s.on(t), func(c *talker) {
			c.say(`51-["echo",` + at(0) + `]`)
			c.try(`51-["echo",`+at(0)+`]`, one)
			require.Empty(c.t, c.gone())
		})
	})
}

func TestAttachmentsMayComeLater(t *testing.T) {
	s := start(t, nil)
	t.Run("WebSocket", func(t *testing.T) {
		c := carriers["WebSocket"](s.on(t))
		c.connect("/", "")
		c.say(`51-["echo",` + at(0) + `]`)
		c.w.write(frame(true, opPing, nil)) // what is no packet may come between
		f, err := c.w.read()
		require.NoError(t, err)
		require.Equal(t, byte(opPong), f.op)
		c.w.write(frame(true, opBinary, one))
		c.event(`["echo",` + bin(one) + `]`)
	})
	t.Run("polling", func(t *testing.T) {
		c := carriers["polling"](s.on(t))
		c.connect("/", "")
		c.p.push(`451-["echo",` + at(0) + `]`)
		c.p.push("bAQ==")
		c.event(`["echo",` + bin(one) + `]`)
	})
}

func TestAConnectionThatEndsAmidAttachments(t *testing.T) {
	s := start(t, nil)
	overEach(t, s, func(c *talker) {
		tag := c.tag(0)
		c.connect("/", `{"tag":"`+tag+`"}`)
		c.say(`53-["echo",`+strings.Join([]string{at(0), at(1), at(2)}, ",")+`]`, one)
		if c.w != nil {
			c.w.reset()
		} else {
			c.p.push("1")
		}
		c.eventually("it is gone", func() bool { return len(c.socket(tag).Disconnects) == 1 })
	})
}
