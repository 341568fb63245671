package ops

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// HoldsSocket reports whether one of the processes has the socket with that inode open. proc is "/proc".
func HoldsSocket(proc string, pids []int, inode uint32) (bool, error) {
	want := fmt.Sprintf("socket:[%d]", inode)
	for _, pid := range pids {
		dir := filepath.Join(proc, strconv.Itoa(pid), "fd")
		held, err := anyLink(dir, want)
		if held || (err != nil && !errors.Is(err, fs.ErrNotExist)) { // a process that has ended holds nothing
			return held, err
		}
	}
	return false, nil
}

func anyLink(dir, want string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && target == want {
			return true, nil
		}
	}
	return false, nil
}
