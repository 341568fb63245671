package plan

import (
	"fmt"
	"slices"
)

// maxGroups bounds the owner groups.
const maxGroups = 64

func groupNames(field func(*Command) *[]string) setter {
	return func(c *Command, value string) (err error) {
		*field(c), err = split(value)
		if err == nil && len(*field(c)) > maxGroups {
			err = fmt.Errorf("%d groups are more than the %d allowed", len(*field(c)), maxGroups)
		}
		return err
	}
}

// lookUpGroups turns the owner groups' names into numbers, once, before anything is applied: later nobody would notice
// that a name means another group.
func (c *Command) lookUpGroups(env Environment) (err error) {
	if !slices.Equal(c.OwnerGroups, []string{"*"}) {
		if c.Options.OwnerGroups.Groups, err = env.groups(c.OwnerGroups); err != nil {
			return fmt.Errorf("environment ISTIO_OUTBOUND_OWNER_GROUPS: %w", err)
		}
	}
	if c.Options.OwnerGroups.Exclude, err = env.groups(c.OwnerGroupsExclude); err != nil {
		return fmt.Errorf("environment ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: %w", err)
	}
	return nil
}

func (e Environment) groups(names []string) ([]uint32, error) {
	var list []uint32
	for _, name := range names {
		gid, err := parseNumber(name, 0, maxID)
		if err != nil {
			found := false
			if e.LookupGroup != nil {
				gid, found = e.LookupGroup(name)
			}
			if !found {
				return nil, fmt.Errorf("%q is neither a number nor a group of /etc/group", name)
			}
		}
		list = append(list, gid)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
