package nft

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Errors the kernel's answers are sorted into; anything else is passed on as it is.
var (
	ErrPermission  = errors.New("the kernel wants CAP_NET_ADMIN")
	ErrUnsupported = errors.New("this kernel can't do it")
)

// classify sorts an error of the kernel. lacks says that the kernel itself is to blame: the numbers alone don't, for
// they also mean that somebody else was faster, or that we asked for nonsense.
func classify(doing string, err error, lacks bool) error {
	var errno syscall.Errno
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: %w (%w)", doing, ErrPermission, err)
	case lacks:
		return fmt.Errorf("%s: %w (%w)", doing, ErrUnsupported, err)
	case errors.As(err, &errno):
		return fmt.Errorf("%s: %w (%s)", doing, err, unix.ErrnoName(errno))
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// isLack tells errors by which a kernel says that it lacks something. EINVAL is what nfnetlink answers for a subsystem
// it doesn't know, ENOENT what nftables answers for a kind of chain or expression it has no module for.
func isLack(err error) bool {
	return isAny(err, syscall.EOPNOTSUPP, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT, syscall.ENOENT, syscall.EINVAL)
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
