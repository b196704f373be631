package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func alarmed() *Session {
	s := &Session{}
	s.alarm.session = s
	return s
}

// ticksUntil moves the hand until s is due.
func ticksUntil(t *testing.T, w *wheel, s *Session) int {
	t.Helper()
	for n := 1; n < 10*wheelSlots; n++ {
		if slices.Contains(w.advance(), s) {
			return n
		}
	}
	t.Fatal("never due")
	return 0
}

func TestWheelIsNeverEarly(t *testing.T) {
	var w wheel
	for _, d := range []time.Duration{
		0, 1, wheelTick - 1, wheelTick, wheelTick + 1, time.Second, (wheelSlots - 1) * wheelTick, wheelSlots * wheelTick,
		wheelSlots*wheelTick + 1, 3*wheelSlots*wheelTick + 5*wheelTick,
	} {
		w.advance()
		s := alarmed()
		w.schedule(&s.alarm, d)
		ticks := ticksUntil(t, &w, s)
		// The tick that runs may have begun just before its end.
		require.GreaterOrEqual(t, time.Duration(ticks-1)*wheelTick, d, "%v", d)
		require.LessOrEqual(t, time.Duration(ticks-2)*wheelTick, d, "%v: nor late", d)
	}
}

func TestWheelCancelsAndReschedules(t *testing.T) {
	var w wheel
	sessions := make([]*Session, 5)
	for i := range sessions {
		sessions[i] = alarmed()
		w.schedule(&sessions[i].alarm, wheelTick)
	}
	w.cancel(&sessions[4].alarm)              // first of the slot's list
	w.cancel(&sessions[2].alarm)              // in between
	w.cancel(&sessions[0].alarm)              // last
	w.cancel(&sessions[0].alarm)              // again
	w.schedule(&sessions[1].alarm, time.Hour) // moved away
	w.schedule(&sessions[3].alarm, wheelTick) // where it is
	require.Empty(t, w.advance())
	require.Equal(t, []*Session{sessions[3]}, w.advance())
	for range 2 * wheelSlots {
		require.Empty(t, w.advance())
	}
	w.schedule(&sessions[1].alarm, 0)
	require.Equal(t, 1, ticksUntil(t, &w, sessions[1]))
}

func TestWheelMeetsEachOnce(t *testing.T) {
	var w wheel
	random := rand.New(rand.NewPCG(3, 4))
	at := map[*Session]int{}
	for range 2000 {
		s := alarmed()
		ticks := random.IntN(3 * wheelSlots)
		w.schedule(&s.alarm, time.Duration(ticks)*wheelTick)
		at[s] = ticks + 1
	}
	for now := 1; now <= 3*wheelSlots+1; now++ {
		for _, s := range w.advance() {
			require.Equal(t, max(at[s], 1), now)
			delete(at, s)
		}
	}
	require.Empty(t, at)
}

func TestWheelRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wheel
		ctx, stop := context.WithCancel(t.Context())
		met := make(chan time.Duration, 1)
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx, func(*Session) { met <- time.Since(began) })
		}()
		s := alarmed()
		w.schedule(&s.alarm, 20*time.Second)
		took := <-met
		require.GreaterOrEqual(t, took, 20*time.Second)
		require.Less(t, took, 20*time.Second+3*wheelTick)
		stop()
		<-done
	})
}

// A process that stood still catches up, but a deadline set meanwhile has all its time: a client must not be given up
// because its server slept.
func TestWheelThatIsBehindIsNotEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wheel
		ctx, stop := context.WithCancel(t.Context())
		s := alarmed()
		w.schedule(&s.alarm, time.Second)
		var set time.Time
		met := make(chan time.Duration, 1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx, func(s *Session) {
				if set.IsZero() {
					time.Sleep(30 * time.Second)
					set = time.Now()
					w.schedule(&s.alarm, 20*time.Second)
					return
				}
				met <- time.Since(set)
			})
		}()
		took := <-met
		require.GreaterOrEqual(t, took, 20*time.Second)
		require.Less(t, took, 20*time.Second+3*wheelTick)
		stop()
		<-done
	})
}
