// Package compose tests docker-compose.yml and the image's build context as far as that goes without Docker; the script
// e2e runs them. It has no code of its own.
package compose
