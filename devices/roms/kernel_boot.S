/* Option ROM: starts a kernel under firmware. It offers itself as a bootable device (BEV of the PnP expansion header) and
 * carries out the boot plan that the board gives through fw_cfg: DMA descriptors to run, then registers to load.
 * Layout of the plan: devices/board_firmware.c. Assembled and linked at 0; checksums and length are set there too. */

#define PLAN_SEGMENT 0x6000
#define PLAN_GPA 0x60000
#define PLAN_BYTES 0x1000
#define OWN_DESCRIPTOR 0xFFF0 /* in PLAN_SEGMENT */

#define BE32(x) ((((x) & 0xFF) << 24) | (((x) & 0xFF00) << 8) | (((x) >> 8) & 0xFF00) | (((x) >> 24) & 0xFF))
#define FW_CFG_PLAN_KEY 0x8010
#define FW_CFG_DMA_LOW 0x518
#define FW_CFG_SELECT_READ 0x0A
#define FW_CFG_ERROR_BE BE32(1)

#define PLAN_MODE 0
#define PLAN_COUNT 4
#define PLAN_ENTRY 8
#define PLAN_STACK 12
#define PLAN_DS 16
#define PLAN_EAX 20
#define PLAN_EBX 24
#define PLAN_ECX 28
#define PLAN_EDX 32
#define PLAN_ESI 36
#define PLAN_MMAP 40
#define PLAN_INFO 44
#define PLAN_GDTR 48
#define PLAN_JUMP 56 /* room for a far pointer */
#define PLAN_DESCRIPTORS 64

#define GDT_CODE 0x10
#define GDT_DATA 0x18
#define CR0_PE 1

#define MMAP_ENTRY_BYTES 24
#define MMAP_ENTRIES_MAX 85
#define INFO_MEM_LOWER 4
#define INFO_MEM_UPPER 8
#define INFO_MMAP_LENGTH 44
#define SMAP 0x534D4150

	.code16
	.text
	.globl	_start
_start:
	.byte	0x55, 0xAA
	.byte	0			/* length in 512-byte blocks */
	jmp	init
	.org	0x18
	.word	0			/* no PCI data structure */
	.word	pnp
	.align	16
pnp:
	.ascii	"$PnP"
	.byte	1			/* revision */
	.byte	2			/* length in 16 bytes */
	.word	0			/* next header */
	.byte	0
	.byte	0			/* checksum */
	.long	0			/* device */
	.word	0			/* manufacturer */
	.word	product
	.byte	0x02, 0x80, 0x00	/* mass storage, other */
	.byte	0x64			/* initial program load device, shadowable, cacheable */
	.word	0			/* BCV */
	.word	0
	.word	boot			/* BEV */
	.word	0
	.word	0
product:
	.asciz	"vmrr kernel"

init:
	mov	$0x20, %ax		/* IPL device attached */
	lret

boot:
	cld
	mov	$PLAN_SEGMENT, %ax
	mov	%ax, %ds
	movl	$BE32((FW_CFG_PLAN_KEY << 16) | FW_CFG_SELECT_READ), OWN_DESCRIPTOR
	movl	$BE32(PLAN_BYTES), OWN_DESCRIPTOR + 4
	movl	$0, OWN_DESCRIPTOR + 8
	movl	$BE32(PLAN_GPA), OWN_DESCRIPTOR + 12
	mov	$OWN_DESCRIPTOR, %bx
	call	transfer

	mov	PLAN_COUNT, %cx
	mov	$PLAN_DESCRIPTORS, %bx
1:	jcxz	2f
	call	transfer
	add	$16, %bx
	dec	%cx
	jmp	1b
2:
	cmpl	$0, PLAN_MMAP
	je	3f
	call	fill_memory_map
3:
	cli
	cmpb	$0, PLAN_MODE
	jne	enter_protected

	lss	PLAN_STACK, %sp
	pushl	PLAN_ENTRY		/* CS:IP */
	mov	PLAN_EDX, %edx
	mov	PLAN_DS, %ax
	mov	%ax, %es
	mov	%ax, %fs
	mov	%ax, %gs
	mov	%ax, %ds
	lret

/* Runs the DMA descriptor at DS:BX; does not come back if fw_cfg refuses. */
transfer:
	movzwl	%bx, %eax
	add	$PLAN_GPA, %eax
	bswap	%eax
	mov	$FW_CFG_DMA_LOW, %dx
	out	%eax, %dx
1:	mov	(%bx), %eax
	test	$FW_CFG_ERROR_BE, %eax
	jnz	failed
	test	%eax, %eax
	jnz	1b
	ret
failed:
	sti
	hlt
	jmp	failed

/* The memory map of INT 15h E820h as multiboot entries at PLAN_MMAP, and the sizes in the structure at PLAN_INFO. */
fill_memory_map:
	mov	PLAN_MMAP, %eax
	shr	$4, %eax
	mov	%ax, %es
	xor	%di, %di
	xor	%ebx, %ebx
	xor	%ebp, %ebp		/* KiB above 1 MiB */
1:	movl	$20, %es:(%di)
	add	$4, %di
	mov	$0xE820, %eax
	mov	$20, %ecx
	mov	$SMAP, %edx
	int	$0x15
	jc	3f
	cmp	$SMAP, %eax
	jne	3f
	cmpl	$0x100000, %es:(%di)
	jne	2f
	cmpl	$0, %es:4(%di)
	jne	2f
	mov	%es:8(%di), %ebp
	shr	$10, %ebp
2:	add	$MMAP_ENTRY_BYTES - 4, %di
	cmp	$MMAP_ENTRY_BYTES * MMAP_ENTRIES_MAX, %di
	jae	4f
	test	%ebx, %ebx
	jnz	1b
	jmp	4f
3:	sub	$4, %di
4:	mov	PLAN_INFO, %eax
	shr	$4, %eax
	mov	%ax, %es
	movzwl	%di, %eax
	mov	%eax, %es:INFO_MMAP_LENGTH
	mov	%ebp, %es:INFO_MEM_UPPER
	int	$0x12
	movzwl	%ax, %eax
	mov	%eax, %es:INFO_MEM_LOWER
	ret

enter_protected:
	lgdtl	PLAN_GDTR
	xor	%eax, %eax
	mov	%cs, %ax
	shl	$4, %eax
	add	$protected, %eax
	mov	%eax, PLAN_JUMP
	movw	$GDT_CODE, PLAN_JUMP + 4
	mov	%cr0, %eax
	or	$CR0_PE, %al
	mov	%eax, %cr0
	ljmpl	*PLAN_JUMP

	.code32
protected:
	mov	$GDT_DATA, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %fs
	mov	%ax, %gs
	mov	%ax, %ss
	mov	$PLAN_GPA, %ebp
	mov	PLAN_EAX(%ebp), %eax
	mov	PLAN_EBX(%ebp), %ebx
	mov	PLAN_ECX(%ebp), %ecx
	mov	PLAN_EDX(%ebp), %edx
	mov	PLAN_ESI(%ebp), %esi
	jmp	*PLAN_ENTRY(%ebp)
