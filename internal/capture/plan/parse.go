package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// subcommands are the words a command line may start with.
const subcommands = "apply verify explain diff clean watch help"

// Parse reads a command line (without the program's name) and the environment behind it; the command line wins. The
// error tells of every mistake at once, each with flag, value and what is allowed.
func Parse(args []string, env Environment) (*Command, error) {
	c := &Command{Name: "apply", Options: Defaults(), Record: RecordDefault, Dialect: "pillion", Output: "text", ProbePort: defaultProbePort, ProbeTimeout: defaultProbeTimeout}
	args, errs := c.subcommand(args)
	table := flags()
	given, err := c.scan(args, table)
	c.Shaped = c.Name == "explain" && shapes(given)
	errs = append(errs, err)
	c.defaults(modeOf(given, env), len(given["proxy-uid"]) > 0, env)
	for _, f := range table {
		errs = append(errs, c.assign(f, given, env))
	}
	c.Options.listedPort()
	errs = append(errs, c.lookUpGroups(env))
	if c.Options.RedirectDNS && env.Resolvers != nil {
		c.Options.Resolvers = env.Resolvers()
	}
	if len(c.Positional) > 0 && c.Name != "explain" {
		errs = append(errs, fmt.Errorf("argument %q: %s takes none", c.Positional[0], c.Name))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Command) subcommand(args []string) (rest []string, errs []error) {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return args, nil
	}
	switch {
	case slices.Contains(strings.Fields(subcommands), args[0]):
		c.Name = args[0]
	default:
		errs = []error{fmt.Errorf("subcommand %q is unknown; want one of %s", args[0], subcommands)}
	}
	return args[1:], errs
}

// assign gives a flag its value: the command line's, else the environment's. An empty variable counts as unset.
func (c *Command) assign(f option, given map[string][]string, env Environment) error {
	source, values := "flag "+f.name(), given[f.long]
	if f.long == "" || len(values) == 0 {
		name := f.variable()
		source, values = "environment "+name, nil
		if v := env.Vars[name]; name != "" && v != "" {
			values = []string{v}
		}
	}
	var errs []error
	for _, value := range values {
		if err := f.set(c, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q: %w", source, value, err))
			continue
		}
		c.Options.Given.note(f.short, value)
	}
	return errors.Join(errs...)
}

// scan splits the arguments into flags, by long name, and positional ones. It takes every form pflag takes:
// --name value, --name=value, -n value, -nvalue, -n=value; booleans take a value only after '='.
func (c *Command) scan(args []string, table []option) (map[string][]string, error) {
	given := map[string][]string{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			c.Positional = append(c.Positional, args...)
			return given, nil
		case arg == "-h" || arg == "--help":
			c.Name = "help"
			continue
		case len(arg) < 2 || arg[0] != '-':
			c.Positional = append(c.Positional, arg)
			continue
		}
		f, value, rest, err := take(table, arg, args)
		if err != nil {
			return given, err
		}
		args = rest
		given[f.long] = append(given[f.long], value)
	}
	return given, nil
}

// take reads one flag and its value.
func take(table []option, arg string, args []string) (f option, value string, rest []string, err error) {
	name, value, attached := cutFlag(arg)
	at := slices.IndexFunc(table, func(o option) bool { return o.is(name) })
	if at < 0 {
		return f, "", args, fmt.Errorf("flag %s is unknown; see --help", name)
	}
	f = table[at]
	switch {
	case attached:
	case f.value == "":
		value = "true"
	case len(args) == 0:
		return f, "", args, fmt.Errorf("flag %s: its value is missing; want %s", f.name(), f.value)
	default:
		value, args = args[0], args[1:]
	}
	return f, value, args, nil
}

// cutFlag separates a flag's name, with its dashes, from a value in the same argument.
func cutFlag(arg string) (name, value string, attached bool) {
	if strings.HasPrefix(arg, "--") {
		return strings.Cut(arg, "=")
	}
	if len(arg) == 2 {
		return arg, "", false
	}
	return arg[:2], strings.TrimPrefix(arg[2:], "="), true
}

// is tells whether a name, with its dashes, is the flag's.
func (f option) is(name string) bool {
	long, ok := strings.CutPrefix(name, "--")
	if ok {
		return f.long != "" && long == f.long
	}
	return f.short != "" && name[1:] == f.short
}
