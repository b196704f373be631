package streams

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// blockingReader reads on a connection of its own whose id Redis has told, so that a read that waits can be ended there
// as if its time were over: its reply is heard, and nothing that was delivered is lost.
type blockingReader struct {
	client redis.UniversalClient
	key    string
	conn   *redis.Conn  // owned by the read loop; nil: none
	connID int64        // owned by the read loop; 0: Redis does not tell
	wait   atomic.Int64 // connID while a read is under way, else 0
}

// owner is the client of the one server that has key, or nil where that is not known.
func owner(ctx context.Context, client redis.UniversalClient, key string) (*redis.Client, error) {
	switch c := client.(type) {
	case *redis.Client:
		return c, nil
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, key)
	}
	return nil, nil
}

// process runs one blocking command.
func (b *blockingReader) process(ctx context.Context, cmd redis.Cmder) error {
	if err := b.connect(ctx); err != nil {
		return err
	}
	if b.conn == nil {
		return b.client.Process(ctx, cmd)
	}
	b.wait.Store(b.connID)
	err := b.conn.Process(ctx, cmd)
	b.wait.Store(0)
	if err == nil || errors.Is(err, redis.Nil) {
		return err
	}
	b.close()
	if isRefusal(err) && (strings.HasPrefix(err.Error(), "MOVED ") || strings.HasPrefix(err.Error(), "ASK ")) {
		cmd.SetErr(nil)
		return b.client.Process(ctx, cmd) // which learns where the key is now
	}
	return err
}

// connect takes a connection, unless there is one.
func (b *blockingReader) connect(ctx context.Context) error {
	if b.conn != nil {
		return nil
	}
	server, err := owner(ctx, b.client, b.key)
	if server == nil {
		return err
	}
	b.conn = server.Conn()
	b.connID, err = b.conn.ClientID(ctx).Result()
	if err != nil && !isRefusal(err) {
		b.close()
		return err
	}
	return nil
}

// close gives the connection back.
func (b *blockingReader) close() {
	if b.conn != nil {
		_ = b.conn.Close()
		b.conn, b.connID = nil, 0
	}
}

// unblockEvery is the pause between attempts: the read may begin just after one.
const unblockEvery = 20 * time.Millisecond

// unblockLoop ends the read under way once ctx has ended, until no more comes: readDone is closed then.
func (c *Consumer) unblockLoop(ctx context.Context, readDone <-chan struct{}) {
	<-ctx.Done()
	ticker := time.NewTicker(unblockEvery)
	defer ticker.Stop()
	for {
		if err := c.unblock(context.WithoutCancel(ctx)); err != nil {
			c.log.Debug("the blocking read is not ended early", "err", err)
			if isRefusal(err) {
				return
			}
		}
		select {
		case <-readDone:
			return
		case <-ticker.C:
		}
	}
}

func (c *Consumer) unblock(ctx context.Context) error {
	id := c.reader.wait.Load()
	if id == 0 {
		return nil
	}
	server, err := owner(ctx, c.rdb, c.keys.events)
	if server == nil {
		return err
	}
	return server.ClientUnblock(ctx, id).Err()
}
