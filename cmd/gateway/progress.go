package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressAfter is how long a run stays silent: a bar for a moment's work is noise.
const progressAfter = 300 * time.Millisecond

// progress is a bar of the work that is done, in bytes of input or by number, which appears when the work turns out to be
// long. A nil progress does nothing.
type progress struct {
	out   io.Writer
	label string
	bytes bool
	size  int64
	start time.Time
	done  int64
	bar   *progressbar.ProgressBar
}

// newProgress returns a progress towards size bytes (-1: unknown), or nil if it is not to be shown.
func newProgress(out io.Writer, size int64, show bool) *progress {
	if !show {
		return nil
	}
	return &progress{out: out, label: "publishing", bytes: true, size: size, start: time.Now()}
}

// newCount returns a progress towards a number, or nil if it is not to be shown.
func newCount(out io.Writer, label string, size int64, show bool) *progress {
	if !show {
		return nil
	}
	return &progress{out: out, label: label, size: size, start: time.Now()}
}

func (p *progress) add(n int) {
	if p == nil {
		return
	}
	p.set(p.done + int64(n))
}

// set says how much is done in all.
func (p *progress) set(done int64) {
	if p == nil {
		return
	}
	p.done = done
	if p.bar == nil {
		if time.Since(p.start) < progressAfter {
			return
		}
		p.bar = progressbar.NewOptions64(
			p.size,
			progressbar.OptionSetWriter(p.out),
			progressbar.OptionSetDescription(p.label),
			progressbar.OptionShowBytes(p.bytes),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetPredictTime(p.size > 0),
			progressbar.OptionFullWidth(),
			progressbar.OptionClearOnFinish(),
		)
	}
	_ = p.bar.Set64(p.done) // a bar that cannot be drawn is no reason to stop
}

// clear makes room for a line of text.
func (p *progress) clear() {
	if p != nil && p.bar != nil {
		_ = p.bar.Clear()
	}
}

func (p *progress) finish() {
	if p != nil && p.bar != nil {
		_ = p.bar.Finish()
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
