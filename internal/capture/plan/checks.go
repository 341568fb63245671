package plan

import (
	"errors"
	"fmt"
	"strconv"
)

// accepted checks a value that changes nothing.
func accepted(check func(string) error) func(*Command, string) error {
	return func(_ *Command, value string) error { return check(value) }
}

// unbuilt refuses every value but the one that means "off": what we can't do is never taken silently.
func unbuilt(off string) func(*Command, string) error {
	return func(_ *Command, value string) error {
		if value == off {
			return nil
		}
		if on, err := strconv.ParseBool(value); off == "false" && err == nil && !on {
			return nil
		}
		return fmt.Errorf("this isn't built yet; want %q", off)
	}
}

func checkAny(string) error { return nil }

func checkBool(value string) error {
	_, err := parseBool(value)
	return err
}

func parseBool(value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, errors.New("want true or false")
	}
	return b, nil
}
