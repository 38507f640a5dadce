// The first process of a pod's sandbox, and of a node of the local cluster: it holds the namespaces
// open, buries orphans, and leaves when asked to.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGINT, syscall.SIGTERM)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			buried, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err != nil || buried <= 0 {
				break
			}
		}
	}
}
