package node

import (
	"context"
	"errors"
)

// asker is an adapter through which nodes can be asked.
type asker interface {
	Ask(ctx context.Context, packet []any) ([]any, error)
}

// Ask asks all other nodes a question that they answer by Answer, until ctx ends. It returns the answers that came, with
// an error if some are missing.
func (n *Node) Ask(ctx context.Context, question string) ([][]byte, error) {
	a, ok := n.io.Sockets().Adapter().(asker)
	if !ok {
		return nil, errors.New("node: the adapter cannot ask")
	}
	got, err := a.Ask(ctx, []any{question})
	answers := make([][]byte, 0, len(got))
	for _, answer := range got {
		if raw, ok := answer.([]byte); ok {
			answers = append(answers, raw)
		}
	}
	return answers, err
}

// Answer makes this node answer a question of other nodes'. To be called before Run; answer has to be quick.
func (n *Node) Answer(question string, answer func() []byte) error {
	return n.io.On(question, func(args ...any) {
		defer n.recovered(question)
		if _, ack := splitAck(args); ack != nil {
			ack([]any{answer()}, nil)
		}
	})
}

// Tell tells all other nodes something that they hear by Hear. Nobody knows whether they do.
func (n *Node) Tell(news, text string) error { return n.io.ServerSideEmit(news, text) }

// Hear calls heard with what other nodes Tell. To be called before Run; heard has to be quick.
func (n *Node) Hear(news string, heard func(text string)) error {
	return n.io.On(news, func(args ...any) {
		defer n.recovered(news)
		if len(args) > 0 {
			if text, ok := args[0].(string); ok {
				heard(text)
			}
		}
	})
}
