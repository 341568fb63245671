package plan

import (
	"errors"
	"strconv"
)

// accepted checks a value that changes nothing.
func accepted(check func(string) error) func(*Command, string) error {
	return func(_ *Command, value string) error { return check(value) }
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
