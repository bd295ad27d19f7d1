/** No memory (VM_FAULT_OOM). */
export const VM_FAULT_OOM = 0x1;
/** The access can never succeed (VM_FAULT_SIGBUS). */
export const VM_FAULT_SIGBUS = 0x2;
/** The access is not allowed (VM_FAULT_SIGSEGV). */
export const VM_FAULT_SIGSEGV = 0x40;
/** The mmap lock was dropped to wait for something; take it again and retry (VM_FAULT_RETRY). */
export const VM_FAULT_RETRY = 0x400;
