package adapter

import (
	"context"
	"errors"
	"fmt"
)

// verify looks for the entry at the position. If it is missing, what the log holds instead tells why: entries before
// and after it but not it, or none after it (the log went back), only later ones (trimmed away, or a new log).
func (r *reader) verify(ctx context.Context) error {
	view, err := r.look(ctx)
	switch {
	case err != nil:
		return err
	case view.holdsPosition:
		r.verifyHeld(view)
	case view.empty:
		r.verifyEmpty(view)
	case !r.anchored && view.oldest.compare(r.pos) > 0:
		r.verifyUnread(view)
	case !r.anchored && view.newest.compare(r.pos) >= 0:
	case view.oldest.compare(r.pos) > 0:
		r.verifyTrimmed(view)
	case r.isAnother(view):
		r.newLog()
	default:
		return r.wentBack(ctx, view)
	}
	return nil
}

// logView is the log at one moment.
type logView struct {
	info           logInfo
	holdsPosition  bool
	holdsOrigin    bool
	empty          bool
	oldest, newest streamID
}

// look takes the view in one transaction: put together from several moments, a log that just grows looks damaged.
func (r *reader) look(ctx context.Context) (logView, error) {
	pos, origin := r.pos.String(), r.origin.String()
	pipe := r.c.blocking.TxPipeline()
	at := pipe.XRangeN(ctx, r.c.logKey, pos, pos, 1)
	start := pipe.XRangeN(ctx, r.c.logKey, origin, origin, 1)
	first := pipe.XRangeN(ctx, r.c.logKey, "-", "+", 1)
	last := pipe.XRevRangeN(ctx, r.c.logKey, "+", "-", 1)
	info := pipe.XInfoStream(ctx, r.c.logKey)
	_, _ = pipe.Exec(ctx) // each command carries its error
	if err := errors.Join(at.Err(), start.Err(), first.Err(), last.Err()); err != nil {
		return logView{}, err
	}
	var view logView
	var err error
	if view.info, err = infoOf(info); err != nil {
		return logView{}, err
	}
	view.holdsPosition, view.holdsOrigin = len(at.Val()) > 0, len(start.Val()) > 0
	if view.empty = len(first.Val()) == 0 || len(last.Val()) == 0; view.empty {
		return view, nil
	}
	if view.oldest, err = parseStreamID(first.Val()[0].ID); err != nil {
		return logView{}, err
	}
	view.newest, err = parseStreamID(last.Val()[0].ID)
	return view, err
}

// isAnother reports whether the log, of which nothing was ever trimmed, lacks an entry that was once its oldest.
func (r *reader) isAnother(view logView) bool {
	return view.info.added > 0 && view.info.added == view.info.length && !r.origin.isZero() && !view.holdsOrigin
}

// verifyHeld handles a log that holds the position. It is a new one if it was begun while a read of it waited.
func (r *reader) verifyHeld(view logView) {
	if r.isAnother(view) {
		r.c.count.resets.Add(1)
		r.c.log.Error("the log is a new one, its sources start anew", "position", r.pos.String())
		r.source = streamID{}
		r.restart(r.pos, "the log is a new one")
	}
	r.origin = view.oldest
}

// verifyEmpty handles a log without entries: emptied by trimming, or gone.
func (r *reader) verifyEmpty(view logView) {
	switch {
	case !view.info.exists || view.info.last.compare(r.pos) < 0:
		r.newLog()
	case view.info.last.compare(r.pos) > 0:
		r.gap(view.info.last, view.info.added)
	default:
		r.moveTo(r.pos, view.info.added)
	}
}

// verifyUnread handles a position that never was an entry, with entries after it. They will be read; only if some were
// trimmed before that is there a gap.
func (r *reader) verifyUnread(view logView) {
	if view.info.added-r.before > view.info.length {
		r.gap(view.oldest.before(), view.info.trimmed())
	}
}

// verifyTrimmed handles an anchored position with later entries only.
func (r *reader) verifyTrimmed(view logView) {
	if r.neverTrimmed(view.info, view.newest) {
		r.newLog()
		return
	}
	r.gap(view.oldest.before(), view.info.trimmed())
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
	r.c.log.Error("the log is a new one, reading it from its beginning", "position", r.pos.String())
	reason := fmt.Sprintf("the log does not hold position %s any more, it is a new one", r.pos)
	r.moveTo(streamID{}, 0)
	r.source, r.origin = streamID{}, streamID{}
	r.restart(streamID{}, reason)
}

// gap goes on after to; the entries between the position and that are lost to this node. Its sockets start anew, and so
// do the sources: this can be a new log as well, and what seems repeated has been delivered to none of them.
func (r *reader) gap(to streamID, before int64) {
	r.c.count.gaps.Add(1)
	r.c.log.Error("the position in the log was trimmed away, entries were missed",
		"position", r.pos.String(), "next", to.String())
	reason := fmt.Sprintf("log position %s was trimmed away", r.pos)
	r.moveTo(to, before)
	r.source, r.origin = streamID{}, streamID{}
	r.restart(to, reason)
}

// wentBack goes on after the newest entry that was delivered and is still there.
func (r *reader) wentBack(ctx context.Context, view logView) error {
	known, found, err := r.newestKnown(ctx)
	if err != nil {
		return err
	}
	r.c.count.wentBack.Add(1)
	r.c.log.Warn("the log lost its newest entries", "position", r.pos.String(), "resume", known.String())
	if !found {
		r.moveTo(view.oldest.before(), view.info.trimmed())
		r.origin, r.recent = view.oldest, idRing{}
		r.rewind(r.pos, false)
		return nil
	}
	r.pos, r.anchored = known, true
	r.recent.forgetAbove(known)
	r.rewind(known, true)
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

// moveTo sets a position that is not an entry; before it, that many entries were added to the log.
func (r *reader) moveTo(id streamID, before int64) { r.pos, r.anchored, r.before = id, false, before }
