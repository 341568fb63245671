package proxy

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetStart gives back the memory of those parts of the program itself that only its start needed: a third of what a
// proxy at rest holds are descriptors of protobuf messages that were looked at once, and the code that did. The pages
// are the file's, unchanged; one that is needed again is mapped again from the page cache.
func forgetStart() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("reading what is mapped: %w", err)
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("finding the program: %w", err)
	}
	for line := range strings.Lines(string(maps)) {
		if start, end, ok := unchangedPart(line, program); ok {
			err = errors.Join(err, forget(start, end))
		}
	}
	return err
}

// unchangedPart reads a line of /proc/self/maps, as proc_pid_maps(5) has it: a part of program that nobody can write.
func unchangedPart(line, program string) (start, end uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || !strings.HasSuffix(strings.TrimSuffix(line, "\n"), " "+program) || fields[1] != "r-xp" && fields[1] != "r--p" {
		return 0, 0, false
	}
	n, err := fmt.Sscanf(fields[0], "%x-%x", &start, &end)
	return start, end, err == nil && n == 2 && start < end
}

func forget(start, end uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED); errno != 0 {
		return fmt.Errorf("madvise: %w", errno)
	}
	return nil
}
