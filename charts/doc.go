// Package charts holds the Helm chart (gateway/) and its tests, which need helm but no cluster. It has no code of its own.
package charts
