// Package web holds the built pages, the demo and the operators'. It owns the embedded files and serves nothing by
// itself.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var files embed.FS

// Dist is the demo page and Dashboard the operators', each an index.html and assets/. They have no index.html in a binary
// that was built before the pages were (see Makefile, target web).
var (
	Dist      = sub(files, "dist")
	Dashboard = sub(files, "dist/dashboard")
)

func sub(from fs.FS, dir string) fs.FS {
	dist, err := fs.Sub(from, dir)
	if err != nil {
		panic(err) // only for a path that is malformed, and this one is a constant
	}
	return dist
}
