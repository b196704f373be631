package ingress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Config says what is listened to. DefaultConfig is the only place of defaults; Identity has none.
type Config struct {
	// Emitter is the `key` of classic Redis emitters, "socket.io" unless they were told another. Default "": they are not
	// listened to.
	Emitter string
	// Python is the channel of python-socketio's managers, "socketio" unless they were told another. Default "": none.
	Python string
	// Legacy are channels whose messages are events {"event", "data"}. Default none.
	Legacy []string
	// Namespace is the one that is served. Default "/".
	Namespace string
	// Prefix starts the lease's key and has the hash tag of what is appended to. Default "{teloo}".
	Prefix string
	// Identity is this process' name: no other has it, nor had it. No default.
	Identity string
	// Lease is how long a holder that is not heard of keeps the others out. 100 ms or more; default 2 s.
	Lease time.Duration
	// MaxMessage is the largest message, in bytes; 1 KiB to 16 MiB. What a client is sent of one, which may be several times
	// as large, is a little smaller, so that an empty queue of that size takes it. Default 1 MiB.
	MaxMessage int
	// MaxEvent is the largest message of a legacy channel, in bytes; more than the event stream's readers take would be
	// dead letters, which are kept in Redis. Default 128 KiB.
	MaxEvent int
	// QueueMessages and QueueBytes bound what waits between the subscription and Redis. Defaults 8,192 and 32 MiB.
	QueueMessages, QueueBytes int
	// SubscribeTimeout is how long a holder may be without a subscription before another node has its turn. Default 5 s.
	SubscribeTimeout time.Duration
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Namespace: "/", Prefix: "{teloo}", Lease: 2 * time.Second, MaxMessage: 1 << 20, MaxEvent: 128 << 10, QueueMessages: 8192, QueueBytes: 32 << 20,
		SubscribeTimeout: 5 * time.Second,
	}
}

// forClients is how many bytes a client may be sent of a message; its frame and offset take some more.
func (c Config) forClients() int { return c.MaxMessage - c.MaxMessage/64 }

// On reports whether anything is listened to.
func (c Config) On() bool { return c.Emitter != "" || c.Python != "" || len(c.Legacy) > 0 }

// Validate reports all faults at once. A message that came by two of the channels would be delivered twice: that is one.
func (c Config) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("ingress: "+format, args...))
		}
	}
	need(c.Identity != "", "Identity is empty")
	need(c.Namespace != "", "Namespace is empty")
	need(c.Prefix != "", "Prefix is empty")
	need(c.Lease >= 100*time.Millisecond, "Lease is %v, at least 100ms is needed", c.Lease)
	need(c.MaxMessage >= 1<<10 && c.MaxMessage <= 16<<20, "MaxMessage is %d, 1 KiB to 16 MiB are allowed", c.MaxMessage)
	need(c.MaxEvent > 0, "MaxEvent is %d", c.MaxEvent)
	need(c.QueueMessages > 0, "QueueMessages is %d", c.QueueMessages)
	need(c.QueueBytes >= c.MaxMessage, "QueueBytes is %d, less than MaxMessage", c.QueueBytes)
	need(c.SubscribeTimeout > 0, "SubscribeTimeout is %v", c.SubscribeTimeout)
	for i, name := range c.channels() {
		need(validText(name, maxChannel), "channel %.64q is not 1 to %d bytes of text", name, maxChannel)
		need(!slices.Contains(c.channels()[:i], name), "channel %.64q is there twice", name)
		need(!strings.HasPrefix(name, c.Prefix), "channel %.64q begins as the gateway's own", name)
		need(c.Emitter == "" || !strings.HasPrefix(name, c.Emitter+"#") && !strings.HasPrefix(name, c.Emitter+"-request#"),
			"channel %.64q is an emitter's, too", name)
	}
	if c.Emitter != "" {
		need(validText(c.Emitter, maxChannel), "Emitter is not 1 to %d bytes of text", maxChannel)
		need(!strings.HasPrefix(c.Emitter, c.Prefix), "Emitter %.64q begins as the gateway's own channels", c.Emitter)
	}
	return errors.Join(faults...)
}

// maxChannel is the length of a channel's name, in bytes.
const maxChannel = 256

// channels are those that are subscribed to by name.
func (c Config) channels() []string {
	var all []string
	if c.Python != "" {
		all = append(all, c.Python)
	}
	return append(all, c.Legacy...)
}

// patterns are those that are subscribed to by pattern: an emitter names namespace and room in the channel's name.
func (c Config) patterns() []string {
	if c.Emitter == "" {
		return nil
	}
	key := literal.Replace(c.Emitter)
	return []string{key + "#*", key + "-request#*"}
}

// Subscriptions are the channels and patterns that Redis has to allow this node's user.
func (c Config) Subscriptions() (channels, patterns []string) { return c.channels(), c.patterns() }

// literal escapes what means something in a pattern.
var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`, `\^`)

// Payload is an event of a legacy channel, unchecked.
type Payload struct{ Channel, JSON string }

// Deps are what the ingress uses and does not own. The functions append only if the key lease has that value while they
// do, else they fail with Config's NotHeld; they never send anything twice, and return how much was appended.
type Deps struct {
	// Redis runs the lease's script and holds the subscription. It must not retry by itself.
	Redis redis.UniversalClient
	// Log appends entries to the log, each as field/value pairs.
	Log func(ctx context.Context, lease, value string, entries [][]string) (int, error)
	// Events appends events to the event stream.
	Events func(ctx context.Context, lease, value string, events []Payload) (int, error)
	// NotHeld tells the error of those that says that the lease was another's.
	NotHeld func(error) bool
	// Logger may be nil: nothing is logged then.
	Logger *slog.Logger
}

func (d Deps) validate() error {
	if d.Redis == nil || d.Log == nil || d.Events == nil || d.NotHeld == nil {
		return errors.New("ingress: Deps.Redis, Log, Events and NotHeld are all needed")
	}
	return nil
}
