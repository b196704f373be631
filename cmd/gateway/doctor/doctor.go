// Package doctor examines a deployment: Redis, the cluster's state in it, the nodes, and the way that clients come in. It
// says of each point whether it is well and, where it is not, what to do. It owns the examinations and what they conclude;
// it never repairs or changes anything, and it reads no key of another package but through that.
package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Status is a finding's gravity.
type Status string

// Statuses.
const (
	OK      Status = "ok"
	Warning Status = "warning" // worth a look, or could not be examined
	Failure Status = "FAIL"    // breaks a promise of the gateway's
)

// Finding is what an examination found out about one point.
type Finding struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Says is what was found, Do what to do about it; empty if nothing is.
	Says string `json:"says"`
	Do   string `json:"do,omitempty"`
}

// Check is one examination. Run returns one finding or more; their Name is the check's unless they have one.
type Check struct {
	Name string
	Run  func(ctx context.Context) []Finding
	// Patience bounds Run; zero: 10 s.
	Patience time.Duration
}

const patience = 10 * time.Second

// Run runs all checks at once and calls report with their findings in the checks' order, each as soon as it can. It
// returns when all are done.
func Run(ctx context.Context, checks []Check, report func(Finding)) {
	results := make([]chan []Finding, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		results[i] = make(chan []Finding, 1)
		all.Go(func() { results[i] <- check.run(ctx) })
	}
	for _, result := range results {
		for _, f := range <-result {
			report(f)
		}
	}
	all.Wait()
}

func (c Check) run(ctx context.Context) []Finding {
	bound := c.Patience
	if bound == 0 {
		bound = patience
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	found := c.Run(ctx)
	for i := range found {
		if found[i].Name == "" {
			found[i].Name = c.Name
		}
	}
	return found
}

func ok(format string, args ...any) Finding {
	return Finding{Status: OK, Says: fmt.Sprintf(format, args...)}
}

func warning(do, format string, args ...any) Finding {
	return Finding{Status: Warning, Do: do, Says: fmt.Sprintf(format, args...)}
}

func failure(do, format string, args ...any) Finding {
	return Finding{Status: Failure, Do: do, Says: fmt.Sprintf(format, args...)}
}

// unknown says that something could not be examined.
func unknown(err error) []Finding {
	return []Finding{warning("look at it by hand", "could not be examined: %v", err)}
}
