package adapter

import (
	"context"
	"fmt"
)

// verify looks for the entry at the position. If it is missing, what the log holds instead tells why: entries before
// and after it but not it, or none after it (the log went back), only later ones (trimmed away, or a new log).
func (r *reader) verify(ctx context.Context) error {
	pos := r.pos.String()
	pipe := r.c.blocking.Pipeline()
	at := pipe.XRangeN(ctx, r.c.logKey, pos, pos, 1)
	first := pipe.XRangeN(ctx, r.c.logKey, "-", "+", 1)
	last := pipe.XRevRangeN(ctx, r.c.logKey, "+", "-", 1)
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	if len(at.Val()) > 0 {
		return nil
	}
	if len(first.Val()) == 0 || len(last.Val()) == 0 {
		return r.verifyEmpty(ctx)
	}
	oldest, err := parseStreamID(first.Val()[0].ID)
	if err != nil {
		return err
	}
	newest, err := parseStreamID(last.Val()[0].ID)
	if err != nil {
		return err
	}
	switch {
	case !r.anchored && oldest.compare(r.pos) > 0:
		return r.verifyUnread(ctx, oldest)
	case !r.anchored && newest.compare(r.pos) >= 0:
		return nil
	case oldest.compare(r.pos) > 0:
		return r.verifyTrimmed(ctx, oldest, newest)
	default:
		return r.wentBack(ctx, oldest)
	}
}

// verifyEmpty handles a log without entries: emptied by trimming, or gone.
func (r *reader) verifyEmpty(ctx context.Context) error {
	info, err := r.info(ctx)
	if err != nil {
		return err
	}
	switch {
	case !info.exists || info.last.compare(r.pos) < 0:
		r.newLog()
	case info.last.compare(r.pos) > 0:
		r.gap(info.last)
	}
	return nil
}

// verifyUnread handles a position that never was an entry, with entries after it. They will be read; only if some were
// trimmed before that is there a gap.
func (r *reader) verifyUnread(ctx context.Context, oldest streamID) error {
	if !r.pos.isZero() {
		return nil
	}
	info, err := r.info(ctx)
	if err != nil {
		return err
	}
	if info.added > info.length {
		r.gap(oldest.before())
	}
	return nil
}

// verifyTrimmed handles an anchored position with later entries only.
func (r *reader) verifyTrimmed(ctx context.Context, oldest, newest streamID) error {
	info, err := r.info(ctx)
	if err != nil {
		return err
	}
	if r.neverTrimmed(info, newest) {
		r.newLog()
		return nil
	}
	r.gap(oldest.before())
	return nil
}

// neverTrimmed reports whether the log still holds all that was ever added: then the position was never in it.
func (r *reader) neverTrimmed(info logInfo, newest streamID) bool {
	if info.added > 0 {
		return info.added == info.length
	}
	// Without that figure: trimming takes entries by age, or when the log is near its cap.
	tooOld := newest.ms > uint64(r.c.cfg.LogMaxAge.Milliseconds()) &&
		r.pos.ms < newest.ms-uint64(r.c.cfg.LogMaxAge.Milliseconds())
	return !tooOld && info.length < r.c.cfg.LogMaxEntries/10*9
}

// newLog starts over at the beginning of a log that never held the position.
func (r *reader) newLog() {
	if r.pos.isZero() {
		return
	}
	r.c.count.resets.Add(1)
	r.c.log.Warn("the log is a new one, reading it from its beginning", "position", r.pos.String())
	r.moveTo(streamID{})
	r.source = streamID{}
	r.recent = idRing{}
}

// gap goes on after to; the entries between the position and that are lost to this node.
func (r *reader) gap(to streamID) {
	r.c.count.gaps.Add(1)
	r.c.log.Error("the position in the log was trimmed away, entries were missed",
		"position", r.pos.String(), "next", to.String())
	reason := fmt.Sprintf("log position %s was trimmed away", r.pos)
	r.moveTo(to)
	r.recent = idRing{}
	r.c.guard("gap", func() { r.c.onGap(reason) })
}

// wentBack goes on after the newest entry that was delivered and is still there.
func (r *reader) wentBack(ctx context.Context, oldest streamID) error {
	known, found, err := r.newestKnown(ctx)
	if err != nil {
		return err
	}
	r.c.count.wentBack.Add(1)
	r.c.log.Warn("the log lost its newest entries", "position", r.pos.String(), "resume", known.String())
	if !found {
		r.moveTo(oldest.before())
		r.recent = idRing{}
		return nil
	}
	r.pos, r.anchored = known, true
	r.recent.forgetAbove(known)
	return nil
}

// newestKnown looks for the newest entry that this reader has handled. Ids alone do not tell: after a failover the new
// log can hold other entries below the position.
func (r *reader) newestKnown(ctx context.Context) (streamID, bool, error) {
	entries, err := r.c.blocking.XRevRangeN(ctx, r.c.logKey, r.pos.String(), "-", 2*recentIDs+1).Result()
	if err != nil {
		return streamID{}, false, err
	}
	for _, e := range entries {
		id, err := parseStreamID(e.ID)
		if err != nil {
			return streamID{}, false, err
		}
		if r.recent.has(id) || id.compare(r.recent.oldest()) < 0 {
			return id, true, nil
		}
	}
	return streamID{}, false, nil
}

// moveTo sets a position that is not an entry.
func (r *reader) moveTo(id streamID) { r.pos, r.anchored = id, false }
