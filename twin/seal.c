/* The filter is written out by hand: a list of calls, and three whose arguments count. */
#include "twin/seal.h"

#include "base/memory.h"
#include "twin/guards.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define ARCHITECTURE AUDIT_ARCH_PPC64LE
#else
#error "say here what <linux/audit.h> calls this architecture"
#endif

#define NEW_NAMESPACES                                                                            \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET)

#define FIELD(name) \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned int)offsetof(struct seccomp_data, name))
/* The low half of an argument, in which all that is looked at fits. */
#define ARGUMENT(n)                                                                           \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned int)offsetof(struct seccomp_data, args[n]) + \
                                           (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0))
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, (action))
#define UNLESS(value, n_skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (n_skipped))
#define REFUSE SECCOMP_RET_ERRNO | EPERM
#define REFUSE_CALL(call) UNLESS((call), 1), ANSWER(REFUSE)

static const struct sock_filter filter[] = {
    FIELD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
    ANSWER(REFUSE),
    FIELD(nr),
#ifdef __x86_64__
    /* The x32 calls, which have numbers of their own. */
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
    ANSWER(REFUSE),
#endif
    /* Namespaces and mounts. */
    REFUSE_CALL(SYS_unshare),
    REFUSE_CALL(SYS_setns),
    REFUSE_CALL(SYS_mount),
    REFUSE_CALL(SYS_umount2),
    REFUSE_CALL(SYS_pivot_root),
    REFUSE_CALL(SYS_chroot),
    REFUSE_CALL(SYS_open_tree),
    REFUSE_CALL(SYS_move_mount),
    REFUSE_CALL(SYS_fsopen),
    REFUSE_CALL(SYS_fsconfig),
    REFUSE_CALL(SYS_fsmount),
    REFUSE_CALL(SYS_fspick),
    REFUSE_CALL(SYS_mount_setattr),
    REFUSE_CALL(SYS_open_by_handle_at),
    /* Other processes. */
    REFUSE_CALL(SYS_ptrace),
    REFUSE_CALL(SYS_process_vm_readv),
    REFUSE_CALL(SYS_process_vm_writev),
    REFUSE_CALL(SYS_pidfd_getfd),
    REFUSE_CALL(SYS_kcmp),
    /* Parts of the kernel that no server needs. */
    REFUSE_CALL(SYS_bpf),
    REFUSE_CALL(SYS_perf_event_open),
    REFUSE_CALL(SYS_userfaultfd),
    REFUSE_CALL(SYS_io_uring_setup),
    REFUSE_CALL(SYS_io_uring_enter),
    REFUSE_CALL(SYS_io_uring_register),
    REFUSE_CALL(SYS_add_key),
    REFUSE_CALL(SYS_request_key),
    REFUSE_CALL(SYS_keyctl),
    /* The machine. */
    REFUSE_CALL(SYS_kexec_load),
#ifdef SYS_kexec_file_load
    REFUSE_CALL(SYS_kexec_file_load),
#endif
    REFUSE_CALL(SYS_init_module),
    REFUSE_CALL(SYS_finit_module),
    REFUSE_CALL(SYS_delete_module),
    REFUSE_CALL(SYS_reboot),
    REFUSE_CALL(SYS_swapon),
    REFUSE_CALL(SYS_swapoff),
    REFUSE_CALL(SYS_acct),
    REFUSE_CALL(SYS_quotactl),
    REFUSE_CALL(SYS_syslog),
    REFUSE_CALL(SYS_sethostname),
    REFUSE_CALL(SYS_setdomainname),
    REFUSE_CALL(SYS_settimeofday),
    REFUSE_CALL(SYS_clock_settime),
    REFUSE_CALL(SYS_adjtimex),
    REFUSE_CALL(SYS_clock_adjtime),
#ifdef SYS_iopl
    REFUSE_CALL(SYS_iopl),
    REFUSE_CALL(SYS_ioperm),
#endif
    UNLESS(SYS_clone3, 1),
    ANSWER(SECCOMP_RET_ERRNO | ENOSYS),
    UNLESS(SYS_clone, 4),
    ARGUMENT(0),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1),
    ANSWER(REFUSE),
    ANSWER(SECCOMP_RET_ALLOW),
    /* Words put into the terminal of whoever started it. */
    UNLESS(SYS_ioctl, 4),
    ARGUMENT(1),
    UNLESS(TIOCSTI, 1),
    ANSWER(REFUSE),
    ANSWER(SECCOMP_RET_ALLOW),
    /* Sockets to the hypervisor know no network namespace. */
    UNLESS(SYS_socket, 3),
    ARGUMENT(0),
    UNLESS(AF_VSOCK, 1),
    ANSWER(REFUSE),
    ANSWER(SECCOMP_RET_ALLOW),
};

int seal_process(void)
{
    const struct sock_fprog program = {ARRAY_LENGTH(filter), (struct sock_filter *)filter};
    if (GUARD(NO_NEW_PRIVILEGES) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    if (GUARD(SEAL) && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return -errno;
    return 0;
}
