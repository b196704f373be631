// Package web holds the built demo page. It owns the embedded files and serves nothing by itself.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var files embed.FS

// Dist is the build's output: index.html and assets/. It has no index.html in a binary that was built before the page
// was (see Makefile, target web).
var Dist = sub(files, "dist")

func sub(from fs.FS, dir string) fs.FS {
	dist, err := fs.Sub(from, dir)
	if err != nil {
		panic(err) // only for a path that is malformed, and this one is a constant
	}
	return dist
}
