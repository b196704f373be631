package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// Bounds of one step, so that the number of dead letters does not matter to memory, nor to how long Redis is kept busy.
const (
	listDefault  = 100
	listMost     = 1000
	pageFirst    = 32
	pageMost     = 500
	pageBytes    = 1 << 20 // what a page should have; with large letters it can have pageFirst MiB
	replayMost   = 100     // letters in one call of the script
	replayBytes  = 1 << 20
	maxSelection = 10_000 // ids in one Selection
	maxRefusals  = 100
)

// DeadLetters looks into the dead letters, replays and drops them. It is safe for concurrent use, and needs no Consumer.
type DeadLetters struct {
	rdb  redis.UniversalClient
	keys keys
}

// NewDeadLetters works on the dead letters of prefix. It does not own rdb.
func NewDeadLetters(rdb redis.UniversalClient, prefix string) *DeadLetters {
	return &DeadLetters{rdb: rdb, keys: newKeys(prefix)}
}

// Len is the number of dead letters. It costs Redis nothing.
func (d *DeadLetters) Len(ctx context.Context) (int64, error) {
	n, err := d.rdb.XLen(ctx, d.keys.dead).Result()
	if err != nil {
		return 0, fmt.Errorf("counting dead letters: %w", err)
	}
	return n, nil
}

// List returns the letters that f chooses and, if there may be more, the After of the next page.
func (d *DeadLetters) List(ctx context.Context, f Filter) (page []Letter, next string, err error) {
	if f.Limit == 0 {
		f.Limit = listDefault
	}
	f.Limit = min(f.Limit, listMost)
	bytes := 0
	err = d.walk(ctx, f, func(l Letter) (bool, error) {
		page = append(page, l)
		bytes += l.Size
		// A page of the largest letters would be a gigabyte.
		if len(page) == f.Limit || bytes >= 32*pageBytes {
			next = l.ID
		}
		return next == "", nil
	})
	return page, next, err
}

// Get returns one letter, or ErrNoLetter.
func (d *DeadLetters) Get(ctx context.Context, id string) (Letter, error) {
	if _, ok := parseStreamID(id); !ok {
		return Letter{}, fmt.Errorf("%w: %.64q is no id", ErrNoLetter, id)
	}
	got, err := d.read(ctx, "XRANGE", id, id, 1)
	switch {
	case err != nil:
		return Letter{}, err
	case len(got) == 0:
		return Letter{}, fmt.Errorf("%w: %s", ErrNoLetter, id)
	}
	return newLetter(got[0]), nil
}

// walk calls do for each letter that f chooses, Limit of them at most, until it returns false. Letters that die
// meanwhile do not belong to it, so that it ends.
func (d *DeadLetters) walk(ctx context.Context, f Filter, do func(Letter) (bool, error)) error {
	from, to, err := f.span()
	if err != nil || from == "" {
		return err
	}
	command := "XRANGE"
	if f.Newest {
		command, from, to = "XREVRANGE", to, from
	} else if to, err = d.lastOf(ctx, to); err != nil || to == "" {
		return err
	}
	found := 0
	for count := pageFirst; ; {
		got, err := d.read(ctx, command, from, to, count)
		if err != nil {
			return err
		}
		bytes := 0
		for _, entry := range got {
			l := newLetter(entry)
			bytes += l.Size
			if !f.matches(&l) {
				continue
			}
			found++
			more, err := do(l)
			if err != nil || !more || found == f.Limit {
				return err
			}
		}
		if len(got) < count {
			return nil
		}
		from = "(" + got[len(got)-1].id
		count = min(pageMost, max(pageFirst, pageBytes/(bytes/len(got)+1)))
	}
}

// lastOf is the id of the newest letter up to to; empty: there is none.
func (d *DeadLetters) lastOf(ctx context.Context, to string) (string, error) {
	got, err := d.read(ctx, "XREVRANGE", to, "-", 1)
	if err != nil || len(got) == 0 {
		return "", err
	}
	return got[0].id, nil
}

// read is XRANGE or XREVRANGE with the fields in their order, which the typed commands lose.
func (d *DeadLetters) read(ctx context.Context, command, from, to string, count int) ([]delivery, error) {
	reply, err := d.rdb.Do(ctx, command, d.keys.dead, from, to, "COUNT", count).Slice()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading dead letters: %w", err)
	}
	return decodeDeliveries(reply)
}

// each calls do for the letters of s, the oldest first, and gone for each id that has none. next is the After of what a
// filter's Limit left; empty: nothing.
func (d *DeadLetters) each(ctx context.Context, s Selection, do func(Letter) error, gone func()) (next string, err error) {
	if len(s.IDs) == 0 {
		s.Filter.Newest = false
		found := 0
		err = d.walk(ctx, s.Filter, func(l Letter) (bool, error) {
			if found++; found == s.Filter.Limit {
				next = l.ID
			}
			return true, do(l)
		})
		return next, err
	}
	ids, err := ascending(s.IDs)
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		l, err := d.Get(ctx, id)
		if errors.Is(err, ErrNoLetter) {
			gone()
			continue
		}
		if err == nil {
			err = do(l)
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

// ascending returns ids in the stream's order, each once.
func ascending(ids []string) ([]string, error) {
	if len(ids) > maxSelection {
		return nil, fmt.Errorf("%w: %d ids, limit %d", ErrSelection, len(ids), maxSelection)
	}
	parsed := make([]streamID, len(ids))
	for i, id := range ids {
		at, ok := parseStreamID(id)
		if !ok {
			return nil, fmt.Errorf("%w: %.64q is no id", ErrSelection, id)
		}
		parsed[i] = at
	}
	slices.SortFunc(parsed, streamID.compare)
	parsed = slices.Compact(parsed)
	sorted := make([]string, len(parsed))
	for i, at := range parsed {
		sorted[i] = at.String()
	}
	return sorted, nil
}
