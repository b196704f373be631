package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Access says which solicitudes a role may subscribe to.
type Access string

// The degrees of access.
const (
	AccessAny     Access = "any"     // every solicitud
	AccessGranted Access = "granted" // those granted to the user, by event, token or the Core API
	AccessNone    Access = "none"
)

// Policy maps a role to its access; a role that isn't in it has none. It is read only once made.
type Policy map[string]Access

// DefaultPolicy lets admins and advisors subscribe to any solicitud and clients to those granted.
func DefaultPolicy() Policy {
	return Policy{"admin": AccessAny, "advisor": AccessAny, "client": AccessGranted}
}

// ParsePolicy reads "admin=any,advisor=any,client=granted". Its error joins all faults.
func ParsePolicy(s string) (Policy, error) {
	policy := Policy{}
	var faults []error
	for pair := range strings.SplitSeq(s, ",") {
		role, word, _ := strings.Cut(strings.TrimSpace(pair), "=")
		role, access := strings.TrimSpace(role), Access(strings.TrimSpace(word))
		switch {
		case !rolePattern.MatchString(role):
			faults = append(faults, fmt.Errorf("%q: want role=access, as client=granted", pair))
		case access != AccessAny && access != AccessGranted && access != AccessNone:
			faults = append(faults, fmt.Errorf("access %q of role %s: want any, granted or none", word, role))
		case policy[role] != "":
			faults = append(faults, fmt.Errorf("role %s stands twice", role))
		default:
			policy[role] = access
		}
	}
	return policy, errors.Join(faults...)
}

// Allow returns a role's access.
func (p Policy) Allow(role string) Access {
	if access, ok := p[role]; ok {
		return access
	}
	return AccessNone
}

// Granter answers whether a user holds a grant for a solicitud; *Grants is one.
type Granter interface {
	Granted(ctx context.Context, solicitud, user string) (bool, error)
}

var _ Granter = (*Grants)(nil)

// MaySubscribe says whether id may join the solicitud's room. Redis is asked only when neither the role nor the token
// decides; its error means that nobody knows.
func (p Policy) MaySubscribe(ctx context.Context, id Identity, solicitud string, grants Granter) (bool, error) {
	switch p.Allow(id.Role) {
	case AccessAny:
		return true, nil
	case AccessGranted:
		if slices.Contains(id.Solicitudes, solicitud) {
			return true, nil
		}
		return grants.Granted(ctx, solicitud, id.User)
	case AccessNone:
		return false, nil
	default:
		return false, nil
	}
}
