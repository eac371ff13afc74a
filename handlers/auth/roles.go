package auth

import (
	"fmt"
	"slices"
)

// Role is what a sender may do. A higher role includes those below it.
type Role int

// The roles.
const (
	RoleNone    Role = iota // nothing
	RoleRead                // read everything
	RoleOperate             // change: pause, requeue, reload, …
)

func (r Role) String() string {
	switch r {
	case RoleOperate:
		return "operate"
	case RoleRead:
		return "read"
	default:
		return "none"
	}
}

// everybody in a list of users stands for every sender who is authenticated.
const everybody = "*"

// Roles say which users and groups have which role. A user of "*" is every user.
type Roles struct {
	Readers, ReaderGroups     []string
	Operators, OperatorGroups []string
}

// of returns the highest role of the sender.
func (r Roles) of(sender Identity) Role {
	has := func(users, groups []string) bool {
		return slices.Contains(users, everybody) || slices.Contains(users, sender.User) ||
			slices.ContainsFunc(sender.Groups, func(group string) bool { return slices.Contains(groups, group) })
	}
	switch {
	case has(r.Operators, r.OperatorGroups):
		return RoleOperate
	case has(r.Readers, r.ReaderGroups):
		return RoleRead
	default:
		return RoleNone
	}
}

// ofRequest returns the highest role of the sender, as far as the credentials have it.
func (r Roles) ofRequest(sender Identity) Role {
	if sender.ReadOnly {
		return min(r.of(sender), RoleRead)
	}
	return r.of(sender)
}

// named returns the groups that have a role.
func (r Roles) named(groups []string) []string {
	var named []string
	for _, group := range groups {
		if slices.Contains(r.ReaderGroups, group) || slices.Contains(r.OperatorGroups, group) {
			named = append(named, group)
		}
	}
	return named
}

// nameGroups reports whether any group has a role.
func (r Roles) nameGroups() bool { return len(r.ReaderGroups)+len(r.OperatorGroups) > 0 }

// isEmpty reports whether nobody has a role.
func (r Roles) isEmpty() bool {
	return len(r.Readers)+len(r.Operators) == 0 && !r.nameGroups()
}

// noOperator reports whether nobody has the role operate.
func (r Roles) noOperator() bool { return len(r.Operators)+len(r.OperatorGroups) == 0 }

// describe returns a role in words.
func describe(r Role) string {
	if r == RoleNone {
		return "no role"
	}
	return "the role " + r.String()
}

// lacks returns why the sender does not have the role that is needed, and what to do
// about it; "" if it has.
func (r Roles) lacks(sender Identity, needed Role, kind string) string {
	has := r.of(sender)
	users, groups := "--admin-operators", "--admin-operator-groups"
	if needed == RoleRead {
		users, groups = "--admin-readers", "--admin-reader-groups"
	}
	switch {
	case has >= needed && needed == RoleOperate && sender.ReadOnly:
		return fmt.Sprintf("%q has %s, but this token has not the scope api, and only reads: send one that has", sender.User, describe(has))
	case has >= needed:
		return ""
	case kind == KindWebConfig:
		return fmt.Sprintf("%q has %s, and this needs the role %s: %s of `serve` must name the user", sender.User, describe(has), needed, users)
	default:
		return fmt.Sprintf("%q has %s, and this needs the role %s: %s of `serve` must name the user, or %s a group that they are in", sender.User, describe(has), needed, users, groups)
	}
}
