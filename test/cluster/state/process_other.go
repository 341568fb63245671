//go:build !linux

package state

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// startTime asks ps, which every Unix has; its resolution is a second.
func startTime(pid int) (start string, zombie bool, err error) {
	out, err := exec.Command("ps", "-o", "state=,lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", false, err
	}
	state, start, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	if !ok {
		return "", false, fmt.Errorf("unexpected output of ps: %q", out)
	}
	return strings.TrimSpace(start), strings.HasPrefix(state, "Z"), nil
}
