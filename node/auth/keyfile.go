package auth

import (
	"context"
	"crypto"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// A file that was written this recently may be written again without its modification time showing it.
const settled = 2 * time.Second

// keyFile holds the keys of a PEM file and follows its changes. One that is broken or gone leaves the keys as they are.
type keyFile struct {
	path  string
	algs  []string
	every time.Duration // between two looks
	log   *slog.Logger
	keys  atomic.Pointer[[]crypto.PublicKey]
	// The rest belongs to whoever runs look.
	seen   fs.FileInfo // the file the keys are from; nil: not settled yet, or broken
	broken bool        // and said so
}

func openKeyFile(path string, algs []string, log *slog.Logger) (*keyFile, error) {
	f := &keyFile{path: path, algs: algs, every: time.Second, log: log}
	return f, f.read()
}

// read takes over the keys of the file as it is.
func (f *keyFile) read() error {
	f.seen = nil
	info, err := os.Stat(f.path) // before the reading, so that what is written meanwhile is seen as a change
	if err != nil {
		return err
	}
	keys, err := loadPEM(f.path, f.algs)
	if err != nil {
		return err
	}
	if time.Since(info.ModTime()) > settled {
		f.seen = info
	}
	if old := f.keys.Swap(&keys); old != nil && !sameKeys(*old, keys) {
		f.log.Info("public key file changed; its keys are in use", "path", f.path, "keys", len(keys))
	}
	return nil
}

// look reads the file if it changed.
func (f *keyFile) look() {
	if f.seen != nil {
		now, err := os.Stat(f.path)
		if err == nil && os.SameFile(now, f.seen) && now.ModTime().Equal(f.seen.ModTime()) && now.Size() == f.seen.Size() {
			return
		}
	}
	err := f.read()
	if err != nil && !f.broken {
		f.log.Warn("public key file cannot be read; the keys it held stay in use", "path", f.path, "err", err)
	}
	f.broken = err != nil
}

func (f *keyFile) run(ctx context.Context) error {
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.look()
		}
	}
}

func sameKeys(a, b []crypto.PublicKey) bool {
	if len(a) != len(b) {
		return false
	}
	for i, key := range a {
		if k, ok := key.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(b[i]) {
			return false
		}
	}
	return true
}
